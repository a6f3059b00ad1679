"""What a hit of a cached queryset costs, next to the same query and to what is stored of it."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from django.core.cache import cache

from tests.benchmarks.comparing import called, ratio
from tests.benchmarks.server import CacheServer
from tests.benchmarks.table import Row
from tests.benchmarks.timing import Scale
from tests.testapp.models import Category, Product

ROWS = 50


def measure(scale: Scale) -> Iterator[Row]:
    """Measure one row by its key, many rows, and how many."""
    category = Category.objects.create(name="benchmark")
    Product.objects.bulk_create(
        Product(name=str(number), category=category) for number in range(ROWS)
    )
    products = Product.objects.filter(category=category)
    key = products.values_list("pk", flat=True)[0]
    CacheServer().empty()
    list(products.cached())
    with CacheServer().cost() as cost:
        list(products.cached())
    trips = cost.round_trips
    yield Row(name="queryset: round trips of a hit", unit="", ours=trips, figure=trips, budget=1)
    asked: dict[str, Callable[[Any], Any]] = {
        "one row by its key": lambda rows: rows.get(pk=key),
        f"list of {ROWS} rows": list,
        "count": lambda rows: rows.count(),
    }
    for name, ask in asked.items():
        yield from _hit(name, partial(_asked, ask, products), scale)


def _asked(ask: Callable[[Any], Any], rows: Any, *, cached: bool) -> Any:
    return ask(rows.cached() if cached else rows.uncached())


def _hit(name: str, ask: Callable[..., Any], scale: Scale) -> Iterator[Row]:
    hit, query = partial(ask, cached=True), partial(ask, cached=False)
    hit()
    number = ROWS if name.startswith("list") else 1
    cache.set("by hand", list(Product.objects.values_list()[:number]), 300)
    get = partial(cache.get, "by hand")
    ways = {"query": query, "get": get, "hit": hit}
    times = called(ways, calls=scale.calls, rounds=scale.rounds)
    for baseline, title in (("query", "the query"), ("get", "cache.get of the rows")):
        yield ratio(f"queryset: hit, {name}, to {title}", times, "hit", baseline)
