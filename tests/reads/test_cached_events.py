"""`cached` in a transaction that has published an event: what it makes stale is not known yet."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction

from cache_invalidation import Event, Invalidation, cached, publish, registry
from tests.elsewhere import elsewhere
from tests.testapp.models import Category

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "sqlite"]),
    # What has no model is what events are for; a query is how these tests see what is computed.
    pytest.mark.filterwarnings("ignore::cache_invalidation.CacheDependencyWarning"),
]

Subscriber = Callable[[Event], Any]


@cached(tags=["author:{pk}"], name="cached_events.byline")
def byline(pk: int, using: str) -> str:
    return Category.objects.using(using).get(pk=pk).name


@pytest.fixture
def pk(using: str) -> int:
    return Category.objects.using(using).create(name="old").pk


@pytest.fixture
def subscribe() -> Iterator[Callable[[Subscriber], None]]:
    """Subscribe to the event "renamed" until the test ends."""
    subscribers: list[Subscriber] = []

    def add(subscriber: Subscriber) -> None:
        subscribers.append(subscriber)
        registry.on_event("renamed", subscriber)

    yield add
    for subscriber in subscribers:
        registry.off_event(subscriber)


def author(event: Event) -> Invalidation:
    return Invalidation(tags=[f"author:{event.pk}"])


def rename(pk: int, using: str, name: str) -> None:
    Category.objects.using(using).filter(pk=pk).update(name=name)
    publish("renamed", pk=pk, using=using)


def test_a_value_of_a_transaction_that_is_rolled_back_is_served_to_nobody(using, pk, subscribe):
    subscribe(author)
    with transaction.atomic(using):
        rename(pk, using, "never")
        assert byline(pk, using) == "never"
        found = elsewhere(lambda: byline(pk, using))
        transaction.set_rollback(True, using)
    assert (found, byline(pk, using)) == ("old", "old")


def test_a_transaction_sees_what_it_wrote_before_it_published(using, pk, subscribe):
    subscribe(author)
    assert byline(pk, using) == "old"
    with transaction.atomic(using):
        rename(pk, using, "new")
        assert byline(pk, using) == "new"
        assert elsewhere(lambda: byline(pk, using)) == "old"
    assert byline(pk, using) == "new"


def test_an_event_of_a_savepoint_that_is_rolled_back_keeps_nobody_from_the_cache(
    using, pk, subscribe
):
    computed = []

    @cached(tags=["another"])
    def page() -> int:
        computed.append(1)
        return len(computed)

    subscribe(author)
    assert page() == 1
    with transaction.atomic(using):
        with transaction.atomic(using):
            rename(pk, using, "never")
            assert page() == 2
            transaction.set_rollback(True, using)
        assert page() == 1
        publish("nobody listens", using=using)
        assert page() == 1
