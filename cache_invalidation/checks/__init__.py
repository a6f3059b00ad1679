"""System checks: what a newcomer can get wrong, said before it does harm.

They do not raise, whatever is wrong elsewhere, and need no database but for those of `databases`
and `schema`.
The server of the cache is asked once, by `server`.
"""

from cache_invalidation.checks.cache import (
    check_cache,
    check_cache_in_production,
    check_time_limits,
)
from cache_invalidation.checks.databases import check_outbox, check_tables
from cache_invalidation.checks.functions import check_names, check_spelling
from cache_invalidation.checks.observers import check_observers
from cache_invalidation.checks.pages import check_page_middleware
from cache_invalidation.checks.project import (
    check_api,
    check_atomic_requests,
    check_database_cache,
    check_page_caching,
    check_threads,
)
from cache_invalidation.checks.rules import check_families, check_patterns, check_rules
from cache_invalidation.checks.schema import check_schema
from cache_invalidation.checks.server import check_eviction_of_others, check_server
from cache_invalidation.checks.settings import check_combinations, check_exclude, check_settings

__all__ = [
    "check_api",
    "check_atomic_requests",
    "check_cache",
    "check_cache_in_production",
    "check_combinations",
    "check_database_cache",
    "check_eviction_of_others",
    "check_exclude",
    "check_families",
    "check_names",
    "check_observers",
    "check_outbox",
    "check_page_caching",
    "check_page_middleware",
    "check_patterns",
    "check_rules",
    "check_schema",
    "check_server",
    "check_settings",
    "check_spelling",
    "check_tables",
    "check_threads",
    "check_time_limits",
]
