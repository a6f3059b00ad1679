"""Invalidations that could not be delivered: kept in the database, and delivered later.

`rows` keeps them, `draining` delivers them, `cache_invalidation.stores.recovery` says when.
"""
