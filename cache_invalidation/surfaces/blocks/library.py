"""A library to name ``cache`` in the options of an engine, so that it takes the place of Django's.

Then each ``{% load cache %}{% cache … %}`` of a project is a block as `cached` makes them. It is
imported as ``cache_invalidation.templatetags.cache``.
"""

from django.template import Library

from cache_invalidation.surfaces.blocks.sources import install
from cache_invalidation.surfaces.blocks.tags import parse_cache

install()

register = Library()
register.tag("cache", parse_cache)
