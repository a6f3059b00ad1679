"""`registry.connect`: any signal of the project can invalidate."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.dispatch import Signal
from model_bakery import baker

from cache_invalidation import Invalidation, no_invalidation, registry
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from tests.delivered import delivered
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@pytest.fixture
def signal() -> Iterator[Signal]:
    """A signal of the project, from which everything is disconnected in the end."""
    signal = Signal()
    yield signal
    for wire in registry.wires:
        registry.disconnect(signal, wire.handler)


def price_changed(sender: Any, number: int = 0, **kwargs: Any) -> Invalidation:
    return Invalidation(tags=[f"price:{number}"], entity_type="price")


def fail_in_the_database(**kwargs: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1/0")


def test_a_wired_signal_invalidates_what_its_handler_returns(signal):
    registry.connect(signal, price_changed)
    reset_metrics()
    with delivered() as found:
        signal.send(sender=Product, number=3)
    assert found.tags == {"price:3"}
    metrics = read_metrics()
    assert metrics["invalidations_by_entity_type"] == {"price": 1}
    assert metrics["last_invalidation"] is not None
    assert metrics["last_invalidation"]["cause"] == "signal:price_changed"


def test_a_handler_gets_all_that_was_sent(signal):
    got = []
    registry.connect(signal, lambda **kwargs: got.append(kwargs))
    signal.send(sender=Product, number=3)
    assert [(kwargs["sender"], kwargs["number"]) for kwargs in got] == [(Product, 3)]


def test_a_sender_can_be_asked_for(signal):
    registry.connect(signal, price_changed, sender=Product)
    with delivered() as found:
        signal.send(sender=Category)
        assert found == []
        signal.send(sender=Product)
        assert found.tags == {"price:0"}


def test_a_disconnected_handler_is_called_no_more_and_others_are(signal):
    registry.connect(signal, price_changed)
    registry.connect(signal, lambda **kwargs: Invalidation(tags=["other"]))
    registry.disconnect(signal, price_changed)
    with delivered() as found:
        signal.send(sender=Product)
    assert found.tags == {"other"}


def test_wires_outlive_other_changes_of_the_registry_and_are_not_doubled(signal):
    registry.connect(signal, price_changed)
    reset_metrics()
    with registry.override(Product, None), registry.override(Category, None):
        signal.send(sender=Product)
    assert read_metrics()["invalidations_by_entity_type"] == {"price": 1}


def test_a_signal_sent_in_a_transaction_acts_at_commit_and_not_after_a_rollback(signal):
    registry.connect(signal, price_changed)
    with delivered() as found:
        with pytest.raises(RuntimeError), transaction.atomic():
            signal.send(sender=Product)
            raise RuntimeError
        assert found == []
        with transaction.atomic():
            signal.send(sender=Product)
            assert found == []
        assert found.tags == {"price:0"}


def test_the_database_that_a_signal_names_is_the_one_whose_commit_counts(signal):
    registry.connect(signal, price_changed)
    with delivered() as found, transaction.atomic(using="other"):
        signal.send(sender=Product, number=1)
        assert found.tags == {"price:1"}
        signal.send(sender=Product, number=2, using="other")
        assert found.tags == {"price:1"}
    assert found.tags == {"price:1", "price:2"}


def test_a_block_without_invalidation_silences_wired_signals(signal):
    registry.connect(signal, price_changed)
    with delivered() as found, no_invalidation():
        signal.send(sender=Product)
    assert found == []


@pytest.mark.parametrize("answer", ["a lone string", 3, [3]], ids=repr)
def test_a_handler_that_returns_something_else_is_logged_and_counted(answer, signal, caplog):
    registry.connect(signal, lambda **kwargs: answer)
    reset_metrics()
    signal.send(sender=Product)
    assert "failed" in caplog.text
    assert read_metrics()["failed_invalidations"] == 1


def test_a_handler_that_raises_costs_the_sender_nothing(signal, caplog):
    def bad(**kwargs: Any) -> None:
        raise ZeroDivisionError("a bad handler")

    registry.connect(signal, bad)
    registry.connect(signal, price_changed)
    with delivered() as found:
        signal.send(sender=Product)
    assert found.tags == {"price:0"}
    assert "a bad handler" in caplog.text


def test_a_handler_whose_query_fails_does_not_cost_the_transaction_of_the_sender(signal, caplog):
    registry.connect(signal, fail_in_the_database)
    with transaction.atomic():
        baker.make(Category, name="before")
        signal.send(sender=Product)
        baker.make(Category, name="after")
    assert set(Category.objects.values_list("name", flat=True)) == {"before", "after"}
    assert "division by zero" in caplog.text
