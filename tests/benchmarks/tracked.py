"""What the cache with tracked keys costs, next to the cache of `django-redis` below it."""

from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.test import override_settings

from cache_invalidation import unit_of_work
from cache_invalidation.writes.invalidate import invalidate
from tests.benchmarks import payloads
from tests.benchmarks.comparing import compared
from tests.benchmarks.server import CacheServer
from tests.benchmarks.table import Row
from tests.benchmarks.timing import Alternative, Scale, by_turns

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
        yield _prefix(scale)


def _against_get(name: str, key: str, budget: float, scale: Scale) -> Row:
    caches["below"].set("by hand", payloads.small(1), 300)
    get: Callable[[], Any] = lambda: caches["below"].get("by hand")  # noqa: E731
    hit: Callable[[], Any] = lambda: caches["default"].get(key)  # noqa: E731
    assert get() == hit()
    with unit_of_work():
        return compared(name, get, hit, calls=scale.calls * 4, rounds=scale.rounds, budget=budget)


def _prefix(scale: Scale) -> Row:
    """Drop a prefix of one key, and one of many, by turns."""
    for number in range(scale.dependents // 10):
        with unit_of_work():
            caches["default"].get(f"product:many:{number}")
            caches["default"].set(f"product:many:{number}", number, 3000)
    few = Alternative(run=_drop("product:few:*"), warm_up=_drop("product:few:*"))
    many = Alternative(run=_drop("product:many:*"), warm_up=_drop("product:none:*"))
    times = by_turns({"few": few, "many": many}, rounds=scale.rounds)
    return Row(
        name=f"tracked: drop the prefix of {scale.dependents // 10:,} keys, to that of none",
        unit="µs",
        baseline=times.of("few") * 1e6,
        ours=times.of("many") * 1e6,
        kind="ratio",
        figure=times.ratio("many", "few"),
    )


def _drop(pattern: str) -> Callable[[], Any]:
    return lambda: invalidate(patterns=[pattern])
