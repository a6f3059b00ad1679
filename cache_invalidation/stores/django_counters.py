"""The counters of a store in any Django cache: one key for each.

Incrementing one is all that such a cache can do in one step.
"""

import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from math import ceil
from typing import Any, Final

from django.core.cache.backends.base import BaseCache

from cache_invalidation.stores.base import Store
from cache_invalidation.stores.guarding import guarded
from cache_invalidation.stores.messages import (
    CALLS,
    CALLS_FADE,
    MARKS,
    MINUTES,
    NAMES_FOUND,
    NAMESPACE,
    NO_COUNTS,
    NO_NOTES,
    NOTE_SIZE,
    NOTES,
    NOTHING_LEARNED,
    RECENT,
    TAGS_FOUND,
    Learned,
    Mark,
    Notes,
)

DAY: Final = MINUTES * 60  # seconds

# What is kept beside the counters: since when they count, the last delivery, a list of those, and
# what was learned. Of two processes that add to the latter at once, one may have done so in vain.
SINCE: Final = f"{NAMESPACE}since"
LAST: Final = f"{NAMESPACE}last"
LISTED: Final = f"{NAMESPACE}recent"
LEARNED: Final = f"{NAMESPACE}learned"
CALLED: Final = f"{NAMESPACE}calls"

# What is counted in detail is an index of its own, with so many counters at most.
IN_DETAIL: Final = "details"
DETAILS: Final = 5000

LEAF: Final = 256  # notes under one key

# Characters of it at most: Memcached refuses values of more than a megabyte.
LEARNED_SIZE: Final = 250_000
CALLED_SIZE: Final = 500_000  # bytes


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
        details: Mapping[str, int] = NO_COUNTS,
        notes: Notes = NO_NOTES,
    ) -> None:
        with self._lock:
            self._count(counts)
            if learned:
                self._learn(learned)
            if details:
                self._detail(details)
            if notes:
                self._note(notes)
            if recent:
                name = self.shared(LISTED)
                listed = [*reversed(recent), *self._cache.get(name, [])]
                self._cache.set(name, listed[:RECENT], None)

    def _detail(self, details: Mapping[str, int]) -> None:
        known = self._cache.get(self._index(IN_DETAIL), frozenset())
        new = sorted(details.keys() - known)[max(0, DETAILS - len(known)) :]
        there = {name: amount for name, amount in details.items() if name not in new}
        self._add(there | ({"": len(new)} if new else {}), IN_DETAIL, None)

    @guarded(Exception)
    def details(self) -> dict[str, int]:
        return self._counters(IN_DETAIL)

    def _leaf(self, number: int) -> str:
        return self.shared(f"{NAMESPACE}notes:{number}")

    def _note(self, notes: Notes) -> None:
        numbers = {place // LEAF for place in notes}
        found = self._cache.get_many([self._leaf(number) for number in numbers])
        leaves = {n: bytearray(found.get(self._leaf(n)) or LEAF * NOTE_SIZE) for n in numbers}
        for place, note in notes.items():
            number, index = divmod(place, LEAF)
            leaves[number][index * NOTE_SIZE : (index + 1) * NOTE_SIZE] = note
        self._cache.set_many({self._leaf(n): bytes(leaf) for n, leaf in leaves.items()}, None)

    @guarded(Exception)
    def notes(self, places: Collection[int]) -> Notes:
        found = self._cache.get_many(list({self._leaf(place // LEAF) for place in places}))
        empty = bytes(LEAF * NOTE_SIZE)
        return {
            place: bytes(found.get(self._leaf(place // LEAF), empty)[start : start + NOTE_SIZE])
            for place in places
            for start in (place % LEAF * NOTE_SIZE,)
        }

    @guarded(Exception)
    def mark_first(self, marks: Sequence[Mark]) -> list[bool]:
        with self._lock:
            return [self._is_first(*mark) for mark in marks]

    def _is_first(self, name: str, mark: bytes, seconds: float) -> bool:
        key = self.shared(f"{NAMESPACE}h:{name}")
        known: tuple[bytes, ...] = self._cache.get(key, ())
        is_first = mark not in known
        self._cache.set(key, (mark, *known)[:MARKS] if is_first else known, ceil(seconds))
        return is_first

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
    def count_calls(self, hits: Mapping[bytes, int]) -> None:
        with self._lock:
            known = Counter(self._cache.get(self.shared(CALLED), {}))
            for call, number in hits.items():
                if call not in known and len(known) >= CALLS:
                    fewest = min(known, key=known.__getitem__)
                    number += known.pop(fewest)
                known[call] += number
            if known and max(known.values()) >= CALLS_FADE:
                known = Counter({call: number // 2 for call, number in known.items()})
            while sum(map(len, known)) > CALLED_SIZE:
                del known[min(known, key=known.__getitem__)]
            self._cache.set(self.shared(CALLED), dict(known), None)

    @guarded(Exception)
    def calls(self) -> dict[bytes, int]:
        known = Counter(self._cache.get(self.shared(CALLED), {}))
        return dict(known.most_common())

    @guarded(Exception)
    def recent(self, number: int) -> list[str]:
        return list(self._cache.get(self.shared(LISTED), [])[:number])

    def _count(self, counts: Mapping[str, int]) -> None:
        self._cache.add(self.shared(SINCE), datetime.now(UTC).isoformat(), None)
        self._add(counts, "", None)
        self._add(counts, str(int(time.time() // 60)), DAY + 60)

    def _add(self, counts: Mapping[str, int], scope: str, lifetime: int | None) -> None:
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
        for scope in ("", IN_DETAIL, *map(str, range(now - MINUTES, now + 1))):
            index = self._index(scope)
            if names := self._cache.get(index):
                self._cache.delete_many([*(self._counter(scope, name) for name in names), index])
        leaves = map(self._leaf, range(NOTES // LEAF))
        self._cache.delete_many([*map(self.shared, (LAST, LEARNED, CALLED)), *leaves])
        self._cache.set(self.shared(SINCE), datetime.now(UTC).isoformat(), None)
