"""What the SQL watcher costs: for one statement, for a page of fifty queries, for a bulk write."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any

from django.db import connection
from django.db.models import F
from django.test import override_settings

from cache_invalidation import cached, registry
from cache_invalidation.observing.watcher import Watcher
from tests.benchmarks.comparing import called
from tests.benchmarks.table import Row
from tests.benchmarks.timing import Alternative, Scale, Times, by_turns
from tests.benchmarks.writes import UNWATCHED, WithTemplate
from tests.testapp.models import Product

QUERIES = 50  # of a page


def measure(scale: Scale) -> Iterator[Row]:
    """Measure the watcher alone, then on a connection to the database."""
    yield _one_statement(scale)
    keys = [
        product.pk
        for product in Product.objects.bulk_create(Product(name=str(n)) for n in range(QUERIES))
    ]
    yield _page(keys, scale)
    yield _recorded_page(keys, scale)
    Product.objects.bulk_create(Product(name=str(n)) for n in range(scale.saves))
    yield from _updates(scale)


def _watcher() -> Watcher:
    connection.ensure_connection()
    return next(each for each in connection.execute_wrappers if isinstance(each, Watcher))


@contextmanager
def _unwatched() -> Iterator[None]:
    watcher = _watcher()
    connection.execute_wrappers.remove(watcher)
    try:
        yield
    finally:
        connection.execute_wrappers.insert(0, watcher)


def _one_statement(scale: Scale) -> Row:
    sql, params = Product.objects.filter(pk=1).query.sql_with_params()
    context = {"connection": connection, "cursor": SimpleNamespace(description=None, rowcount=1)}

    def execute(sql: Any, params: Any, many: bool, context: Any) -> None:
        """Stand for the driver, which would take longer than what is measured."""

    bare = partial(execute, sql, params, False, context)
    watched = partial(_watcher(), execute, sql, params, False, context)
    calls = scale.calls * 100
    times = called({"bare": bare, "watched": watched}, calls=calls, rounds=scale.rounds)
    added = times.added("watched", "bare") * 1e6
    return _row("one statement", times, "bare", "watched", 1e6, "µs", "added", added, budget=2)


def _page(keys: list[int], scale: Scale) -> Row:
    page = partial(_read, keys)
    times = by_turns(
        {
            "unwatched": Alternative(run=page, warm_up=page, around=_unwatched),
            "watched": Alternative(run=page, warm_up=page),
        },
        rounds=scale.rounds,
    )
    ratio = times.ratio("watched", "unwatched")
    name = f"page of {QUERIES} queries"
    return _row(name, times, "unwatched", "watched", 1e3, "ms", "ratio", ratio)


def _read(keys: list[int]) -> list[str]:
    return [Product.objects.get(pk=key).name for key in keys]


def _recorded_page(keys: list[int], scale: Scale) -> Row:
    @cached(name="benchmarks.page")
    def recorded() -> list[str]:
        return _read(keys)

    times = by_turns(
        {
            "uncached": Alternative(run=recorded.uncached, warm_up=recorded.uncached),
            "miss": Alternative(run=recorded.refresh, warm_up=recorded.refresh),
        },
        rounds=scale.rounds,
    )
    ratio = times.ratio("miss", "uncached")
    name = f"page of {QUERIES} queries, recorded and stored"
    return _row(name, times, "uncached", "miss", 1e3, "ms", "ratio", ratio)


def _updates(scale: Scale) -> Iterator[Row]:
    update = partial(Product.objects.update, stock=F("stock") + 1)

    def alternative(around: Callable[[], AbstractContextManager[Any]]) -> Alternative:
        return Alternative(run=update, warm_up=update, around=around)

    rules = {"no rule": nullcontext, "rule over a column": _over_a_column}
    times = by_turns(
        {
            "unwatched": alternative(partial(override_settings, CACHE_INVALIDATION=UNWATCHED)),
            **{name: alternative(around) for name, around in rules.items()},
        },
        rounds=scale.long_rounds,
    )
    for name in rules:
        ratio = times.ratio(name, "unwatched")
        title = f"UPDATE of {scale.saves} rows, {name}"
        # The competitors' comparison allows 6 ms where the bare statement takes 3.9.
        yield _row(title, times, "unwatched", name, 1e3, "ms", "ratio", ratio, budget=1.5)


def _over_a_column() -> AbstractContextManager[None]:
    override: AbstractContextManager[None] = registry.override(Product, WithTemplate)
    return override


def _row(
    name: str,
    times: Times,
    baseline: str,
    ours: str,
    scale: float,
    unit: str,
    kind: Any,
    figure: float,
    budget: float | None = None,
) -> Row:
    return Row(
        name=f"watcher: {name}",
        unit=unit,
        baseline=times.of(baseline) * scale,
        ours=times.of(ours) * scale,
        kind=kind,
        figure=figure,
        budget=budget,
    )
