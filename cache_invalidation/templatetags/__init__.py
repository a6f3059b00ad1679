"""Template libraries: ``{% load cache_invalidation %}``, and `cache` in the place of Django's."""

import sys

from cache_invalidation.surfaces.blocks import library as cache

# It is no file of this package: Django would find it here, and put it in the place of its own tag
# without being asked to.
sys.modules[f"{__name__}.cache"] = cache
