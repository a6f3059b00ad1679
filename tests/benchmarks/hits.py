"""What a hit costs, next to a bare `cache.get` of the same payload."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from django.core.cache import cache

from cache_invalidation import cached
from tests.benchmarks import payloads
from tests.benchmarks.comparing import compared
from tests.benchmarks.server import CacheServer
from tests.benchmarks.table import Row
from tests.benchmarks.timing import Scale


@cached(tags="testapp.product:{pk}")
def detail(pk: int) -> dict[str, Any]:
    return payloads.small(pk)


@cached(tags="testapp.product")
def listing() -> list[dict[str, Any]]:
    return payloads.rows()


def measure(scale: Scale) -> Iterator[Row]:
    """Measure a small object and a list of rows."""
    CacheServer().empty()
    detail(1)
    with CacheServer().cost() as cost:
        detail(1)
    trips = cost.round_trips
    yield Row(name="hit: round trips", unit="", ours=trips, figure=trips, budget=1)
    yield _against_get("small object", partial(detail, 1), scale)
    yield _against_get("list of 50 rows", listing, scale)


def _against_get(name: str, hit: Callable[[], Any], scale: Scale) -> Row:
    cache.set("by hand", hit(), 300)
    get = partial(cache.get, "by hand")
    assert get() == hit()
    return compared(
        f"hit: {name}, to cache.get",
        get,
        hit,
        calls=scale.calls * 4,
        rounds=scale.rounds,
        budget=1.3,
    )
