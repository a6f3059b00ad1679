"""The counters of a store in any Django cache: one key for each.

Incrementing one is all that such a cache can do in one step.
"""

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, Final

from django.core.cache.backends.base import BaseCache

from cache_invalidation.stores.base import Store, guarded
from cache_invalidation.stores.messages import (
    MINUTES,
    NAMES_FOUND,
    NAMESPACE,
    NOTHING_LEARNED,
    RECENT,
    TAGS_FOUND,
    Learned,
)

DAY: Final = MINUTES * 60  # seconds

# What is kept beside the counters: since when they count, the last delivery, a list of those, and
# what was learned. Of two processes that add to the latter at once, one may have done so in vain.
SINCE: Final = f"{NAMESPACE}since"
LAST: Final = f"{NAMESPACE}last"
LISTED: Final = f"{NAMESPACE}recent"
LEARNED: Final = f"{NAMESPACE}learned"

# Characters of it at most: Memcached refuses values of more than a megabyte.
LEARNED_SIZE: Final = 250_000


class DjangoCounters(Store):
    """That part of a store."""

    _lock: AbstractContextManager[Any]

    @property
    @abstractmethod
    def _cache(self) -> BaseCache: ...

    def _counter(self, scope: str, name: str) -> str:
        return self.shared(f"{NAMESPACE}n:{scope}:{name}")

    def _index(self, scope: str) -> str:
        return self.shared(f"{NAMESPACE}counters:{scope}")

    @guarded(Exception)
    def count(
        self,
        counts: Mapping[str, int],
        recent: Sequence[str] = (),
        learned: Learned = NOTHING_LEARNED,
    ) -> None:
        with self._lock:
            self._count(counts)
            if learned:
                self._learn(learned)
            if recent:
                name = self.shared(LISTED)
                listed = [*reversed(recent), *self._cache.get(name, [])]
                self._cache.set(name, listed[:RECENT], None)

    def _learn(self, learned: Learned) -> None:
        name = self.shared(LEARNED)
        known = self._cache.get(name, {})
        for each, tags in learned.items():
            if each in known or len(known) < NAMES_FOUND:
                merged = dict.fromkeys([*known.get(each, ()), *tags])
                known[each] = [*merged][:TAGS_FOUND]
        size = sum(len(each) + sum(map(len, tags)) for each, tags in known.items())
        if size <= LEARNED_SIZE:
            self._cache.set(name, known, None)

    @guarded(Exception)
    def learned(self) -> dict[str, frozenset[str]]:
        known = self._cache.get(self.shared(LEARNED), {})
        return {name: frozenset(tags) for name, tags in known.items()}

    @guarded(Exception)
    def recent(self, number: int) -> list[str]:
        return list(self._cache.get(self.shared(LISTED), [])[:number])

    def _count(self, counts: Mapping[str, int]) -> None:
        self._cache.add(self.shared(SINCE), datetime.now(UTC).isoformat(), None)
        for scope, lifetime in (("", None), (str(int(time.time() // 60)), DAY + 60)):
            index = self._index(scope)
            known = self._cache.get(index, frozenset())
            if not known.issuperset(counts):
                self._cache.set(index, known.union(counts), lifetime)
            for name, amount in counts.items():
                self._increase(self._counter(scope, name), amount, lifetime)

    def _increase(self, key: str, amount: int, lifetime: int | None) -> None:
        cache = self._cache
        if cache.add(key, amount, lifetime):
            return
        if type(cache).incr is BaseCache.incr:
            # It would give the counter the default timeout, and is no more atomic than this.
            cache.set(key, cache.get(key, 0) + amount, lifetime)
            return
        try:
            cache.incr(key, amount)
        except ValueError:
            # It was reset or evicted just now.
            cache.set(key, amount, lifetime)

    @guarded(Exception)
    def counters(self) -> dict[str, str]:
        names = {self.shared(name): name.removeprefix(NAMESPACE) for name in (SINCE, LAST)}
        extra = self._cache.get_many(list(names))
        totals = {name: str(value) for name, value in self._counters("").items()}
        return totals | {names[key]: value for key, value in extra.items()}

    @guarded(Exception)
    def counters_per_minute(self, minutes: Sequence[int]) -> list[dict[str, int]]:
        return [self._counters(str(minute)) for minute in minutes]

    def _counters(self, scope: str) -> dict[str, int]:
        counted = self._cache.get(self._index(scope), ())
        names = {self._counter(scope, name): name for name in counted}
        return {names[key]: value for key, value in self._cache.get_many(list(names)).items()}

    @guarded(Exception)
    def reset_counters(self) -> None:
        now = int(time.time() // 60)
        for scope in ("", *map(str, range(now - MINUTES, now + 1))):
            index = self._index(scope)
            if names := self._cache.get(index):
                self._cache.delete_many([*(self._counter(scope, name) for name in names), index])
        self._cache.delete_many([self.shared(LAST), self.shared(LEARNED)])
        self._cache.set(self.shared(SINCE), datetime.now(UTC).isoformat(), None)
