"""Receivers of the signals that use the database: the write that they hear of is committed."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections, transaction

from cache_invalidation import ModelInvalidation, cached, registry
from cache_invalidation.signals import invalidated, invalidation_failed
from cache_invalidation.transactions.open_batches import batches
from tests.elsewhere import elsewhere
from tests.testapp.models import Category, Counter

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

Receive = Callable[[Callable[..., None]], None]


class Rule(ModelInvalidation):
    patterns = ["list:{pk}:*"]


@pytest.fixture(params=[invalidated, invalidation_failed], ids=["delivered", "failed"])
def receive(request: pytest.FixtureRequest, settings: Any) -> Iterator[Receive]:
    """Connect a receiver to the signal that each write to `Category` leads to."""
    receivers = []
    if request.param is invalidation_failed:
        settings.CACHE_INVALIDATION = {"CACHE": "redis_django"}  # It has no patterns.

    def add(receiver: Callable[..., None]) -> None:
        receivers.append(receiver)
        request.param.connect(receiver)

    with registry.override(Category, Rule):
        yield add
        for receiver in receivers:
            request.param.disconnect(receiver)


@cached(tags=[Counter], name="receivers.counters")
def counters(using: str) -> list[str]:
    return sorted(Counter.objects.using(using).values_list("name", flat=True))


def write(how: str, using: str) -> None:
    """Create a category: in a block, in autocommit, or in a transaction that is managed by hand."""
    if how == "autocommit":
        Category.objects.using(using).create(name="new")
    elif how == "atomic":
        with transaction.atomic(using):
            Category.objects.using(using).create(name="new")
    else:
        transaction.set_autocommit(False, using)
        try:
            Category.objects.using(using).create(name="new")
            transaction.commit(using)
        finally:
            transaction.set_autocommit(True, using)


every_way = pytest.mark.parametrize("how", ["autocommit", "atomic", "by hand"])


@every_way
def test_a_receiver_may_query(how: str, using: str, receive: Receive) -> None:
    seen: list[int] = []
    receive(lambda **about: seen.append(Category.objects.using(using).count()))
    write(how, using)
    assert set(seen) == {1}
    assert connections[using].get_autocommit()


@every_way
@pytest.mark.parametrize("in_block", [False, True])
def test_what_a_receiver_writes_is_committed_and_invalidated(
    in_block: bool, how: str, using: str, receive: Receive
) -> None:
    def add_counter(**about: Any) -> None:
        Counter.objects.using(using).create(name=f"number {len(counters(using))}")

    def receiver(**about: Any) -> None:
        if in_block:
            with transaction.atomic(using):
                add_counter()
        else:
            add_counter()

    assert counters(using) == []
    receive(receiver)
    write(how, using)
    found = counters(using)
    assert found == elsewhere(lambda: counters(using)) == ["number 0"]
    assert list(Counter.objects.using(using).values_list("name", flat=True)) == found
    assert not any(batches(connections[using]))


@every_way
def test_a_receiver_whose_block_fails_leaves_the_connection_usable(
    how: str, using: str, receive: Receive
) -> None:
    told: list[int] = []

    def receiver(**about: Any) -> None:
        told.append(1)
        with transaction.atomic(using):
            Counter.objects.using(using).create(name="never")
            raise RuntimeError

    receive(receiver)
    write(how, using)
    assert told
    assert Category.objects.using(using).count() == 1
    assert not Counter.objects.using(using).exists()
