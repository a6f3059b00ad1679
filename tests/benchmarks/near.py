"""Values in the memory of a process: what a hit takes, and what writers wait for it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from time import sleep
from typing import Any, Final
from unittest import mock

from django.conf import settings
from django.core.cache import cache
from django.db import connections, transaction

from cache_invalidation import cached
from cache_invalidation.stores import get_store
from cache_invalidation.stores.near.holding import Holding
from tests.benchmarks.comparing import added, called, compared, ratio
from tests.benchmarks.holder import hold
from tests.benchmarks.lease import await_lease
from tests.benchmarks.server import CacheServer
from tests.benchmarks.table import Row
from tests.benchmarks.timing import Alternative, Scale, by_turns
from tests.testapp.models import Product

PROCESSES: Final = 8
NUMBER, FIFTY, BARE = "a number", "a tuple of 50 rows", "cache.get"
MICROSECONDS: Final = {NUMBER: 3.0, FIFTY: 5.0}

_spawn = get_context("spawn")


def look_up_stock(pk: int) -> int:
    return Product.objects.values_list("stock", flat=True).get(pk=pk)


def _fifty() -> tuple[tuple[int, str], ...]:
    return tuple((number, f"product {number}") for number in range(50))


def stock() -> Callable[[int], int]:
    """Return the stock of a product, kept near; made late, since writers mind that from then on."""
    return cached(near=True, timeout=None, name="benchmark.stock")(look_up_stock)


def measure(scale: Scale) -> Iterator[Row]:
    """Measure hits, hits without a lease, and writes to what nobody and to what others keep."""
    CacheServer().empty()
    product = Product.objects.create(name="product", stock=7)
    await_lease()
    yield from _hits(product.pk, scale)
    yield from _querysets(scale)
    yield from _writes(product, scale)


def _hits(pk: int, scale: Scale) -> Iterator[Row]:
    cache.set("benchmark", 7)
    stock_of = stock()
    fifty = cached(near=True, timeout=None, tags=["benchmark"], name="benchmark.fifty")(_fifty)
    calls: dict[str, Callable[[], Any]] = {
        NUMBER: partial(stock_of, pk),
        FIFTY: fifty,
        BARE: partial(cache.get, "benchmark"),
    }
    times = called(calls, calls=scale.calls, rounds=scale.rounds)
    for name, budget in MICROSECONDS.items():
        took = times.of(name) * 1e6
        title = f"near: hit of {name}"
        yield Row(name=title, unit="µs", ours=took, figure=took, budget=budget)
        yield ratio(f"{title}, to cache.get", times, name, BARE, budget=1 / 10)
    with mock.patch.object(Holding, "holder", _nobody):
        store: Any = get_store()
        store.near.lose()
        stock_of(pk)
        times = called(calls, calls=scale.calls, rounds=scale.rounds)
    yield ratio("near: hit without a lease, to cache.get", times, NUMBER, BARE, budget=1.5)


def _querysets(scale: Scale) -> Iterator[Row]:
    Product.objects.bulk_create(Product(name=str(number)) for number in range(20))
    products: Any = Product.objects.order_by("pk")
    asked: dict[str, Callable[[Any], Any]] = {
        "count": lambda rows: rows.count(),
        "20 rows": lambda rows: list(rows.all()),
    }
    for name, ask in asked.items():
        theirs, ours = (partial(ask, products.cached(near=near)) for near in (False, True))
        title = f"near: queryset, {name}, to a hit of the same in the cache"
        counts = {"calls": scale.calls, "rounds": scale.rounds}
        yield compared(title, theirs, ours, budget=0.75, **counts)


def _nobody(holding: Holding) -> str:
    return ""


def _writes(product: Product, scale: Scale) -> Iterator[Row]:
    other = Product.objects.create(name="other")
    with _holders(product.pk):
        held, unheld = "held", "not held"
        times = by_turns(
            {
                unheld: Alternative(
                    run=partial(save, other), warm_up=partial(_save_and_wait, other)
                ),
                held: Alternative(
                    run=partial(save, product), warm_up=partial(_save_and_wait, product)
                ),
            },
            scale.long_rounds,
            per=1,
        )
    title = f"near: write that {PROCESSES} idle processes keep"
    yield added(title, times, held, unheld, budget=2.0)


def save(product: Product) -> None:
    with transaction.atomic():
        product.save(update_fields=["name"])


def _save_and_wait(product: Product) -> None:
    """Write, and give the others time to look it up again."""
    save(product)
    sleep(0.1)


@contextmanager
def _holders(pk: int) -> Iterator[None]:
    """Have other processes keep the stock of a product near, and do little else."""
    pipes, processes = [], []
    changed = {
        "DATABASES": {alias: connections[alias].settings_dict for alias in connections},
        "CACHES": settings.CACHES,
        "DEBUG": False,
    }
    for _ in range(PROCESSES):
        ours, theirs = _spawn.Pipe()
        process = _spawn.Process(target=hold, args=(changed, pk, theirs), daemon=True)
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    try:
        for pipe in pipes:
            pipe.recv()
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def keep(pk: int, parent: Connection) -> None:
    """Look at the stock again and again, every few milliseconds."""
    stock_of = stock()
    await_lease()
    stock_of(pk)
    parent.send("ready")
    while True:
        stock_of(pk)
        sleep(0.02)
