"""What a write costs on top of itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from typing import Any

from django.core.cache import cache
from django.db import transaction
from django.db.models.signals import post_save
from django.test import override_settings

from cache_invalidation import ModelInvalidation, registry
from tests.benchmarks.comparing import added
from tests.benchmarks.server import CacheServer
from tests.benchmarks.table import Row
from tests.benchmarks.timing import Alternative, Scale, Times, by_turns, repeat
from tests.testapp.models import Category, Product


class WithTemplate(ModelInvalidation):
    """Looks at a column, so the row before the write is read, under its lock: a query more."""

    tags = ["category:{category_id}"]


VARIANTS = {
    "rule without templates": ModelInvalidation,
    "rule over a column (reads the row under lock)": WithTemplate,
}
BY_HAND = "by hand: post_save, on_commit(cache.delete)"
NOTHING = "nobody watches"
UNWATCHED = {"EXCLUDE": ["testapp"]}


def measure(scale: Scale) -> Iterator[Row]:
    """Measure transactions of one save and of many, on rows that exist."""
    products = _make_products(scale.saves)
    yield from _round_trips(products, scale)
    one, many = _times(products, scale)
    yield from _one_save(one)
    yield from _further_rows(one, many, scale.saves)


def _make_products(number: int) -> list[Product]:
    categories = Category.objects.bulk_create(Category(name=str(n)) for n in range(10))
    return Product.objects.bulk_create(
        Product(name=str(n), category=category)
        for n, category in zip(range(number), cycle(categories), strict=False)
    )


def _save(products: list[Product]) -> None:
    with transaction.atomic():
        for product in products:
            product.save()


def _round_trips(products: list[Product], scale: Scale) -> Iterator[Row]:
    server = CacheServer()
    for consistency, budget in [("strict", 2), ("commit", 1)]:
        for saves in (1, 10, scale.saves):
            with (
                registry.override(Product, ModelInvalidation),
                override_settings(CACHE_INVALIDATION={"CONSISTENCY": consistency}),
            ):
                _save(products[:1])
                with server.cost() as cost:
                    _save(products[:saves])
            yield Row(
                name=f"write: round trips of {saves} saves, {consistency}",
                unit="",
                ours=cost.round_trips,
                figure=cost.round_trips,
                budget=budget,
            )


def _alternatives(around_run: Any, warm_up: Any) -> dict[str, Alternative]:
    def alternative(around: Any) -> Alternative:
        return Alternative(run=around_run, warm_up=warm_up, around=around)

    return {
        NOTHING: alternative(partial(override_settings, CACHE_INVALIDATION=UNWATCHED)),
        BY_HAND: alternative(_by_hand),
        **{
            name: alternative(partial(registry.override, Product, rule))
            for name, rule in VARIANTS.items()
        },
    }


@contextmanager
def _by_hand() -> Iterator[None]:
    def invalidate(instance: Product, **kwargs: Any) -> None:
        transaction.on_commit(partial(cache.delete, f"product:{instance.pk}"))

    with override_settings(CACHE_INVALIDATION=UNWATCHED):
        post_save.connect(invalidate, sender=Product)
        try:
            yield
        finally:
            post_save.disconnect(invalidate, sender=Product)


def _times(products: list[Product], scale: Scale) -> tuple[Times, Times]:
    save_one = partial(_save, products[:1])
    one = _alternatives(repeat(save_one, scale.calls), save_one)
    many = _alternatives(partial(_save, products), save_one)
    return by_turns(one, scale.rounds, per=scale.calls), by_turns(many, scale.long_rounds)


def _one_save(times: Times) -> Iterator[Row]:
    for name in (*VARIANTS, BY_HAND):
        budget = None if name == BY_HAND else 0.5
        yield added(f"write: transaction of one save, {name}", times, name, NOTHING, budget=budget)


def _further_rows(one: Times, many: Times, saves: int) -> Iterator[Row]:
    for name in (*VARIANTS, BY_HAND):
        yield _further_row(name, name, one, many, saves)
    # Nobody is waited for where no row is read, so that this is all of it, and without what the
    # database takes a little longer or shorter for. A query more cannot be had for as little.
    name = next(iter(VARIANTS))
    yield _further_row(f"{name}, CPU", name, one.cpu, many.cpu, saves, budget=10)


def _further_row(
    title: str, name: str, one: Times, many: Times, saves: int, budget: float | None = None
) -> Row:
    def per_row(name: str) -> float:
        return (many.of(name) - one.of(name)) / (saves - 1) * 1e6

    added = many.added(name, NOTHING) - one.added(name, NOTHING)
    return Row(
        name=f"write: each further of {saves} saves, {title}",
        unit="µs",
        baseline=per_row(NOTHING),
        ours=per_row(name),
        kind="added",
        figure=added / (saves - 1) * 1e6,
        budget=budget,
    )
