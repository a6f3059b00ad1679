"""Querysets whose rows are kept until something changes that they were read from."""

from cache_invalidation.querying import uncached_queries
from cache_invalidation.surfaces.querysets.queryset import CachedQuerySet

__all__ = ["CachedQuerySet", "uncached_queries"]
