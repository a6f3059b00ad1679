"""Events that wait for COMMIT: their subscribers are asked at the end of a block."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction

from cache_invalidation import Invalidation, publish, registry
from cache_invalidation.testing import Captured, capture_invalidations
from tests.delivered import delivered
from tests.testapp.models import Tag

Subscribe = Callable[..., list[Any]]


@pytest.fixture
def subscribe() -> Iterator[Subscribe]:
    """Subscribe to an event until the test ends; return the list of those that come in."""
    subscribers = []

    def add(name: str, answer: Callable[[Any], Any]) -> list[Any]:
        heard: list[Any] = []

        def subscriber(event: Any) -> Any:
            heard.append(event)
            return answer(event)

        subscribers.append(subscriber)
        registry.on_event(name, subscriber)
        return heard

    yield add
    for subscriber in subscribers:
        registry.off_event(subscriber)


def test_subscribers_of_events_are_asked_and_only_once(
    database, subscribe, django_capture_on_commit_callbacks
):
    heard = subscribe("user.updated", lambda e: Invalidation(tags=[f"user:{e.user_id}"]))
    with delivered() as found:
        with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
            publish("user.updated", user_id=2)
            with capture_invalidations() as captured:
                publish("user.updated", user_id=3)
            assert [event.user_id for event in heard] == [3]
            assert captured.tags == {"user:3"}
            assert captured.causes == {"event:user.updated": 1}
        assert found.tags == {"user:2", "user:3"}
    assert [event.user_id for event in heard] == [3, 2]


def test_what_subscribers_write_and_publish_is_captured(database, subscribe):
    def first(event: Any) -> None:
        Tag.objects.create(name="a")
        publish("second")

    subscribe("first", first)
    subscribe("second", lambda event: Invalidation(tags=["second"]))
    with capture_invalidations() as captured, transaction.atomic():
        publish("first")
    assert {"testapp.tag", "second"} < captured.tags


def test_an_event_that_leads_to_itself_ends(db, subscribe):
    heard = subscribe("again", lambda event: publish("again"))
    with capture_invalidations():
        publish("again")
    assert 1 < len(heard) <= 100


def test_subscribers_are_not_asked_of_what_was_rolled_back(db, subscribe):
    heard = subscribe("user.updated", lambda event: Invalidation(tags=["user"]))
    with (
        capture_invalidations() as captured,
        pytest.raises(ZeroDivisionError),
        transaction.atomic(),
    ):
        publish("user.updated")
        raise ZeroDivisionError
    assert (heard, captured) == ([], Captured())
