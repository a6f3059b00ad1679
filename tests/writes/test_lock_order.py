"""Rows are locked in the order in which Django writes them, so that nobody waits for each other."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from django.db import connection, transaction
from django.test import override_settings

from cache_invalidation import ModelInvalidation, registry
from tests.elsewhere import apart
from tests.stores.steps import PATIENCE, wait_until
from tests.testapp.models import Place, Product, Restaurant, Review, Tag

pytestmark = pytest.mark.django_db(transaction=True)

Steps = Callable[[threading.Barrier], object]


class RestaurantRule(ModelInvalidation):
    tags = ["in:{city}"]


@pytest.fixture(params=["unwatched", "without rules", "with rules"], autouse=True)
def rules(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run each test without rules as well, and unwatched, to see that Django alone gets along."""
    if connection.vendor == "sqlite":
        pytest.skip("locks the whole database")
    with ExitStack() as stack:
        if request.param == "unwatched":
            stack.enter_context(override_settings(CACHE_INVALIDATION={"EXCLUDE": ["testapp"]}))
        for model, rule in (
            (Restaurant, RestaurantRule),
            (Product, ModelInvalidation),
            (Tag, ModelInvalidation),
        ):
            declared = rule if request.param == "with rules" else None
            stack.enter_context(registry.override(model, declared))
        yield


def somebody_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


def errors_of(*transactions: Steps) -> list[Exception]:
    """Run transactions at the same time; return what they raise."""
    errors: list[Exception] = []
    barrier = threading.Barrier(len(transactions))

    @apart
    def run(steps: Steps) -> None:
        try:
            with transaction.atomic():
                steps(barrier)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(steps,)) for steps in transactions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    return errors


def test_two_who_insert_references_to_a_row_can_clear_its_relations() -> None:
    product = Product.objects.create(name="P")
    product.tags.add(Tag.objects.create(name="T"))

    def steps(barrier: threading.Barrier) -> None:
        Review.objects.create(product=product)
        barrier.wait(PATIENCE)
        Product.objects.get(pk=product.pk).tags.clear()

    assert errors_of(steps, steps) == []


def test_one_who_writes_the_parent_first_and_one_who_writes_the_child_get_along() -> None:
    pk = Restaurant.objects.create(name="R").pk

    def parent_first(barrier: threading.Barrier) -> None:
        Place.objects.filter(pk=pk).update(name="one")
        barrier.wait(PATIENCE)
        wait_until(somebody_waits_for_a_lock)
        Restaurant.objects.get(pk=pk).save()

    def child(barrier: threading.Barrier) -> None:
        barrier.wait(PATIENCE)
        Restaurant.objects.get(pk=pk).save()

    assert errors_of(parent_first, child) == []
