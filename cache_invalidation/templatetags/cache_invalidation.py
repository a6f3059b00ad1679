"""``{% load cache_invalidation %}``: the tag ``{% cached %}``."""

from django.template import Library

from cache_invalidation.surfaces.blocks.sources import install
from cache_invalidation.surfaces.blocks.tags import parse_cached

install()

register = Library()
register.tag("cached", parse_cached)
