"""What else runs in the project while something goes into the outbox, or comes out of it."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models.signals import post_delete, post_save

from cache_invalidation import Event, Invalidation, cached, invalidate, on_event, publish, registry
from cache_invalidation.models import PendingInvalidation
from cache_invalidation.signals import invalidated
from cache_invalidation.stores import get_store
from cache_invalidation.stores.breaker import State
from example_project.servers import ValkeyServer
from tests.delivery.outbox.rows import names, rows, targets
from tests.outages import Use, notice, suspended, wait_for
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])


@cached(tags=[Category], timeout=60, name="outbox.bystanders")
def categories(using: str) -> list[str]:
    return sorted(Category.objects.using(using).values_list("name", flat=True))


@pytest.mark.parametrize("atomic", [True, False])
def test_a_project_that_logs_whatever_is_saved_does_not_log_the_outbox(down: Use, atomic: bool):
    def log(sender: Any, **kwargs: Any) -> None:
        if sender is not Category:
            Category.objects.create(name=sender.__name__)

    notice()
    post_save.connect(log)
    try:
        if atomic:
            with transaction.atomic():
                Product.objects.create(name="a")
        else:
            Product.objects.create(name="a")
    finally:
        post_save.disconnect(log)
    assert list(Category.objects.values_list("name", flat=True)) == ["Product"]
    assert transaction.get_autocommit()


def test_a_receiver_that_raises_does_not_keep_a_row_from_going(use: Use, valkey: ValkeyServer):
    def fail(sender: Any, **kwargs: Any) -> None:
        if sender is PendingInvalidation:
            raise ZeroDivisionError

    use(valkey.url)
    assert names() == []
    post_delete.connect(fail)
    try:
        with suspended(valkey):
            Product.objects.create(name="a")
        wait_for(State.WORKING)
    finally:
        post_delete.disconnect(fail)
    assert rows() == []


def test_a_receiver_of_what_is_delivered_reads_nothing_old_meanwhile(
    use: Use, valkey: ValkeyServer
):
    seen: list[list[str]] = []

    def warm(**kwargs: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            seen.append(categories("sqlite"))

    use(valkey.url)
    Category.objects.using("sqlite").create(name="old")
    assert categories("sqlite") == ["old"]
    with suspended(valkey):
        Product.objects.create(name="a")
        Category.objects.using("sqlite").update(name="new")
        invalidated.connect(warm)
    try:
        wait_for(State.WORKING)
    finally:
        invalidated.disconnect(warm)
    assert seen
    assert all(names == ["new"] for names in seen)


def test_a_transaction_by_hand_without_a_statement_ends_as_without_an_outage(down: Use):
    transaction.set_autocommit(False)
    invalidate(tags=["a"])
    transaction.set_autocommit(True)
    assert targets() == [{"tags": ["a"]}]


@pytest.fixture
def subscriber() -> Iterator[None]:
    def answer(event: Event) -> Invalidation:
        return Invalidation(tags=["testapp.product"])

    on_event("outbox.event")(answer)
    yield
    registry.off_event(answer)


def test_what_subscribers_say_inside_of_a_raw_transaction_is_invalidated(
    use: Use, valkey: ValkeyServer, subscriber: None
):
    use(valkey.url)
    assert names() == []
    before = get_store().versions(["testapp.product"])
    with connections["default"].cursor() as cursor:
        cursor.execute("BEGIN")
        publish("outbox.event")
        cursor.execute("COMMIT")
    assert get_store().versions(["testapp.product"]) != before


def test_what_subscribers_say_inside_of_a_raw_transaction_is_kept(down: Use, subscriber: None):
    notice()
    with connections["default"].cursor() as cursor:
        cursor.execute("BEGIN")
        publish("outbox.event")
        cursor.execute("COMMIT")
    assert targets() == [{"tags": ["testapp.product"]}]
