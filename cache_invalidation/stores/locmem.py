"""Entries and versions in the memory of this process: what a project has before it has Redis."""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from django.core.cache import caches

from cache_invalidation.stores.django_cache import DjangoCacheStore, verbatim
from cache_invalidation.stores.guarding import guarded
from cache_invalidation.stores.messages import entry_name
from cache_invalidation.stores.tracking import as_fnmatch
from cache_invalidation.tags import escape_glob


class LocMemStore(DjangoCacheStore):
    """The memory of this process: needs nothing, and is seen by nobody else."""

    counts_fences = True
    takes_conditions = True
    supports_patterns = True

    def pattern_place(self, pattern: str) -> str:
        def make(pattern: str) -> Any:
            cache: Any = caches[self.alias]
            return cache.key_func(pattern, escape_glob(cache.key_prefix), cache.version)

        return self._placed(make, pattern)

    @guarded(Exception, urgent=True)
    def delete_patterns(self, patterns: Iterable[str]) -> int:
        cache: Any = verbatim(self._cache)
        wanted = [as_fnmatch(pattern) for pattern in patterns]
        with cache._lock:
            names = [name for name in cache._cache if not self._is_own(name)]
        matching = [name for name in names if any(fnmatchcase(name, glob) for glob in wanted)]
        cache.delete_many(matching)
        return len(matching)

    def entries(self, prefix: str = "") -> Iterator[str]:
        """See `Store.entries`. Names that a digest stands for are left out."""
        cache: Any = caches[self.alias]
        above, wanted = (len(cache.make_key(entry_name(""))), cache.make_key(entry_name(prefix)))
        with cache._lock:
            names = [name for name in cache._cache if name.startswith(wanted)]
        return (name[above:] for name in names)
