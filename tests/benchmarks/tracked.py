"""What the cache with tracked keys costs, next to the cache of `django-redis` below it.

With ``PREFIX_KEYS=1000000`` in the environment the prefix that is dropped has as many keys.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.test import override_settings

from cache_invalidation import unit_of_work
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import tracked_name, version_name
from cache_invalidation.stores.tracking import prefix_tag
from cache_invalidation.writes.invalidate import invalidate
from tests.benchmarks import payloads
from tests.benchmarks.comparing import compared, ratio
from tests.benchmarks.server import CacheServer
from tests.benchmarks.table import Row
from tests.benchmarks.timing import Alternative, Scale, by_turns
from tests.stores.copies import copy

BACKEND = "cache_invalidation.backends.RedisCache"


def measure(scale: Scale) -> Iterator[Row]:
    """Measure hits under keys that are tracked, under others, and what drops a prefix."""
    there = settings.CACHES["default"]
    options = {**there.get("OPTIONS", {}), "TRACK": ["product:*"]}
    tracked = {**there, "BACKEND": BACKEND, "OPTIONS": options}
    with override_settings(CACHES={**settings.CACHES, "default": tracked, "below": there}):
        CacheServer().empty()
        with unit_of_work():
            caches["default"].get("product:1")
            caches["default"].set("product:1", payloads.small(1), 300)
        with CacheServer().cost() as cost:
            caches["default"].get("product:1")
        trips = cost.round_trips
        yield Row(name="tracked: round trips of a hit", unit="", ours=trips, figure=trips, budget=1)
        yield _against_get("tracked: hit, to cache.get", "product:1", 1.15, scale)
        caches["default"].set("elsewhere", payloads.small(1), 300)
        yield _against_get("tracked: hit of another key", "elsewhere", 1.03, scale)
        yield from _prefixes(scale)


def _against_get(name: str, key: str, budget: float, scale: Scale) -> Row:
    caches["below"].set("by hand", payloads.small(1), 300)
    get: Callable[[], Any] = lambda: caches["below"].get("by hand")  # noqa: E731
    hit: Callable[[], Any] = lambda: caches["default"].get(key)  # noqa: E731
    assert get() == hit()
    with unit_of_work():
        return compared(name, get, hit, calls=scale.calls * 4, rounds=scale.rounds, budget=budget)


class _Prefix:
    """The beginning of so many keys, all of which are found before each run."""

    def __init__(self, keys: int, server: CacheServer) -> None:
        self.keys = keys
        self._prefix = f"product:{keys}:"
        self._client = server.client
        with unit_of_work():
            caches["default"].get(self._prefix)
            caches["default"].set(self._prefix, "kept", 3000)
        copy(self._client, get_store().entry_place(tracked_name(self._prefix, 1)), keys)
        self.version_key = caches["below"].make_key(version_name(prefix_tag(self._prefix)))
        self._version = self._client.get(self.version_key)
        assert self._is_kept(), "a copy"
        self.drop()
        assert not self._is_kept()

    def _is_kept(self) -> bool:
        with unit_of_work():
            return bool(caches["default"].get(f"{self._prefix}{self.keys}") == "kept")

    def restore(self) -> None:
        """Have all keys found again."""
        self._client.set(self.version_key, self._version, px=3_000_000)

    def drop(self) -> None:
        invalidate(patterns=[f"{self._prefix}*"])


def _prefixes(scale: Scale) -> Iterator[Row]:
    """Drop the prefixes of one, of some and of many keys, by turns."""
    server, most = CacheServer(), int(os.environ.get("PREFIX_KEYS", scale.dependents))
    prefixes = {number: _Prefix(number, server) for number in (1, 1000, most)}
    trips = []
    for prefix in prefixes.values():
        prefix.restore()
        with server.cost() as cost:
            prefix.drop()
        trips.append(cost.round_trips)
    times = by_turns(
        {
            str(number): Alternative(run=prefix.drop, warm_up=prefix.restore)
            for number, prefix in prefixes.items()
        },
        rounds=scale.rounds * 5,
    )
    name = f"tracked: round trips to drop the prefix of {most:,} keys, to that of one"
    yield Row(name=name, unit="", baseline=trips[0], ours=trips[-1], figure=trips[-1], budget=1)
    for number in (1000, most):
        name = f"tracked: drop the prefix of {number:,} keys, to that of one"
        # The same; what is above is for the noise.
        yield ratio(name, times, str(number), "1", budget=1.2)
    server.empty()
