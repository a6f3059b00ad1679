"""Hits and invalidations, where more and more is stored, depends on one tag, or is in an entry."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle
from typing import Any, Final, cast

from django.core.cache import cache

from cache_invalidation import cached, invalidate
from cache_invalidation.stores import get_store
from cache_invalidation.stores.redis.store import RedisStore
from tests.benchmarks import payloads
from tests.benchmarks.comparing import called, ratio
from tests.benchmarks.growth import readers
from tests.benchmarks.lease import await_lease
from tests.benchmarks.popular_tags import PopularTag
from tests.benchmarks.server import CacheServer
from tests.benchmarks.table import Point, Row
from tests.benchmarks.timing import Alternative, Scale, Times, by_turns
from tests.stores.copies import copy

GET, DELETE, DELETE_MANY = "cache.get", "cache.delete", "cache.delete_many"
HIT, NEAR, INVALIDATE = "hit", "hit near", "invalidate"
ASKED: Final = 100  # different entries, of all that there are
COPIED: Final = 10**9  # whose name no other one begins with


@cached(tags="growth:{pk}", timeout=None, name="benchmark.growth")
def detail(pk: int) -> dict[str, Any]:
    return payloads.small(pk)


@cached(tags="growth", timeout=None, name="benchmark.sized")
def sized(size: int) -> str:
    return "x" * size


def measure(scale: Scale) -> Iterator[Row]:
    """Measure what grows, one after the other."""
    yield from _entries(scale)
    yield from _dependents(scale)
    yield from readers.measure(scale)
    yield from _payloads(scale)


def _tens(first: int, last: int) -> Iterator[int]:
    while first < last:
        yield first
        first *= 10
    yield last


def _entries(scale: Scale) -> Iterator[Row]:
    """Measure a hit and an invalidation beside ever more entries, each with its own version."""
    server, store = CacheServer(), cast(RedisStore, get_store())
    server.empty()
    for pk in range(ASKED):
        detail(pk)
        cache.set(f"by hand:{pk}", payloads.small(pk), None)
    detail(COPIED)
    places = store.entry_place(detail.key(COPIED)), store.version_key(f"growth:{COPIED}")
    there = ASKED
    for number in _tens(ASKED, scale.stored):
        for place in places:
            copy(server.client, place, number - ASKED, after=there - ASKED)
        there = number
        assert server.keys() >= 2 * number
        asked, by_hand = cycle(range(ASKED)), cycle(range(ASKED))
        calls: dict[str, Callable[[], Any]] = {
            GET: lambda: cache.get(f"by hand:{next(by_hand)}"),  # noqa: B023 - called in here
            HIT: lambda: detail(next(asked)),  # noqa: B023
        }
        times = called(calls, calls=scale.calls * 4, rounds=scale.rounds)
        yield _row("entries", number, HIT, GET, times)
        times = by_turns(
            {
                DELETE: Alternative(
                    run=partial(cache.delete, "by hand:0"),
                    warm_up=partial(cache.set, "by hand:0", payloads.small(0), None),
                ),
                INVALIDATE: Alternative(
                    run=partial(invalidate, tags=["growth:0"]), warm_up=partial(detail, 0)
                ),
            },
            rounds=scale.rounds * 5,
        )
        yield _row("entries", number, INVALIDATE, DELETE, times)
    server.empty()


def _dependents(scale: Scale) -> Iterator[Row]:
    """Measure an invalidation of a tag, and what deletes as many keys that are known by name."""
    server = CacheServer()
    server.empty()
    for number in _tens(1, scale.dependents):
        tag = PopularTag(number, server)
        place = cache.make_key("by hand:")
        keys = [f"by hand:{each}" for each in range(1, number + 1)]
        server.client.set(place, b"x" * payloads.SMALL_BYTES)
        times = by_turns(
            {
                DELETE_MANY: Alternative(
                    run=partial(cache.delete_many, keys),
                    warm_up=partial(copy, server.client, place, number),
                ),
                INVALIDATE: Alternative(run=tag.invalidate, warm_up=tag.restore),
            },
            rounds=scale.long_rounds,
        )
        yield _row("dependents of a tag", number, INVALIDATE, DELETE_MANY, times)
    server.empty()


def _payloads(scale: Scale) -> Iterator[Row]:
    """Measure hits of texts of ever more bytes."""
    CacheServer().empty()
    keep = cached(near=True, tags="growth", timeout=None, name="benchmark.sized_near")
    near = keep(sized.uncached)
    await_lease()
    for size in _tens(100, scale.payload):
        cache.set("by hand", "x" * size, None)
        calls: dict[str, Callable[[], Any]] = {
            GET: partial(cache.get, "by hand"),
            HIT: partial(sized, size),
            NEAR: partial(near, size),
        }
        times = called(calls, calls=scale.calls, rounds=scale.rounds)
        for line in (HIT, NEAR):
            yield _row("bytes of a value", size, line, GET, times)


def _row(chart: str, x: int, line: str, baseline: str, times: Times) -> Row:
    name = f"growth: {line}, {chart}: {x:,}, to {baseline}"
    return ratio(name, times, line, baseline, point=Point(chart, x, line, baseline))
