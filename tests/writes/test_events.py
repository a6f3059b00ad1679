"""Domain events and wired signals: told at COMMIT, and never at the cost of the write."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from model_bakery import baker

from cache_invalidation import Event, Invalidation, cached, publish, registry
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from tests.delivered import delivered
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

Subscribe = Callable[..., list[Event]]


@pytest.fixture
def subscribe() -> Iterator[Subscribe]:
    """Subscribe to events until the test ends; return the list of those that come in."""
    subscribers = []

    def add(name: str, answer: Any = None) -> list[Event]:
        heard: list[Event] = []

        def subscriber(event: Event) -> Any:
            heard.append(event)
            return answer(event) if callable(answer) else answer

        subscribers.append(subscriber)
        registry.on_event(name, subscriber)
        return heard

    yield add
    for subscriber in subscribers:
        registry.off_event(subscriber)


def fail(event: Any) -> Any:
    raise ZeroDivisionError("a bad subscriber")


def fail_in_the_database(*args: Any, **kwargs: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1/0")


def write(name: str) -> Callable[[Event], None]:
    def subscriber(event: Event) -> None:
        Category.objects.create(name=name)

    return subscriber


def invalidating(tag: str) -> Invalidation:
    return Invalidation(tags=[tag])


def test_an_event_outside_of_a_transaction_is_told_at_once(subscribe):
    heard = subscribe("user.updated", lambda event: invalidating(f"user:{event.user_id}"))
    with delivered() as found:
        publish("user.updated", user_id=3)
        assert found.tags == {"user:3"}
    (event,) = heard
    assert (event.name, event.user_id, event.payload) == ("user.updated", 3, {"user_id": 3})


def test_an_event_in_a_transaction_waits_for_its_commit(subscribe):
    heard = subscribe("user.updated", invalidating("user:3"))
    with delivered() as found:
        with transaction.atomic():
            publish("user.updated")
            with transaction.atomic():
                publish("user.updated")
            assert (heard, found) == ([], [])
        assert len(heard) == 2
        assert found.tags == {"user:3"}
        assert len(found) == 1


def test_a_subscriber_sees_the_state_that_is_about_to_be_committed(subscribe):
    seen = []
    subscribe("shop.changed", lambda event: seen.append(Category.objects.count()))
    with transaction.atomic():
        publish("shop.changed")
        baker.make(Category)
    assert seen == [1]


def test_an_event_is_dropped_with_its_transaction_or_savepoint(subscribe):
    heard = subscribe("*")
    with pytest.raises(RuntimeError), transaction.atomic():
        publish("rolled.back")
        raise RuntimeError
    with transaction.atomic():
        publish("kept", number=1)
        with pytest.raises(RuntimeError), transaction.atomic():
            publish("rolled.back")
            raise RuntimeError
        publish("kept", number=2)
    assert [(event.name, event.number) for event in heard] == [("kept", 1), ("kept", 2)]


def test_an_event_belongs_to_the_transaction_of_its_database(subscribe):
    heard = subscribe("*")
    with transaction.atomic(using="other"):
        publish("on.default")
        assert [event.name for event in heard] == ["on.default"]
        publish("on.other", using="other")
        assert len(heard) == 1
    assert [event.name for event in heard] == ["on.default", "on.other"]


def test_wildcards_hear_what_they_match_and_nobody_hears_the_rest(subscribe):
    users, everything = subscribe("user.*"), subscribe("*")
    for name in ("user.updated", "user.created", "users.updated"):
        publish(name)
    assert [event.name for event in users] == ["user.updated", "user.created"]
    assert len(everything) == 3


def test_an_event_that_nobody_hears_costs_nothing():
    reset_metrics()
    with delivered() as found:
        publish("nobody.listens")
    assert found == []
    assert read_metrics()["invalidations_by_entity_type"] == {}


@pytest.mark.parametrize("name", ["", " ", "x" * 251, None, 3])
def test_an_event_without_a_usable_name_is_an_error_of_the_caller(name):
    with pytest.raises(ValueError, match="event name"):
        publish(name)


def test_what_subscribers_return_is_invalidated_whether_it_is_one_or_many(subscribe):
    subscribe("e", invalidating("one"))
    subscribe("e", [invalidating("a"), invalidating("b")])
    subscribe("e", lambda event: (invalidating(f"n:{n}") for n in range(2)))
    subscribe("e", Invalidation(keys=["k"], patterns=["p:*"]))
    subscribe("e", None)
    subscribe("e", [])
    with delivered() as found:
        publish("e")
    assert found.tags == {"one", "a", "b", "n:0", "n:1"}
    assert (found.keys, found.patterns) == ({"k"}, {"p:*"})


def test_readers_notice_an_event(subscribe):
    calls = []

    @cached(tags=["user:{user_id}"])
    def profile(user_id):
        calls.append(user_id)
        return len(calls)

    subscribe("user.*", lambda event: invalidating(f"user:{event.user_id}"))
    assert (profile(3), profile(4)) == (1, 2)
    publish("user.updated", user_id=3)
    assert (profile(3), profile(4)) == (3, 2)


def test_events_are_counted_by_their_name_or_by_the_entity_type_they_are_given(subscribe):
    subscribe("user.updated", invalidating("a"))
    subscribe("user.updated", Invalidation(tags=["b"], entity_type="user"))
    reset_metrics()
    publish("user.updated")
    metrics = read_metrics()
    assert metrics["invalidations_by_entity_type"] == {"user.updated": 1, "user": 1}
    assert metrics["last_invalidation"] is not None
    assert metrics["last_invalidation"]["cause"] == "event:user.updated"


@pytest.mark.parametrize("in_transaction", [True, False])
@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(fail, id="fail"),
        "a lone string",
        3,
        [3],
        pytest.param(lambda event: event.nope, id="lambda"),
    ],
    ids=repr,
)
def test_a_subscriber_that_fails_is_logged_and_counted_and_the_others_are_told(
    bad, in_transaction, subscribe, caplog
):
    subscribe("e", invalidating("before"))
    subscribe("e", bad)
    subscribe("e", invalidating("after"))
    reset_metrics()
    with delivered() as found:
        if in_transaction:
            with transaction.atomic():
                baker.make(Category, name="kept")
                publish("e")
        else:
            publish("e")
    assert found.tags >= {"before", "after"}
    assert Category.objects.filter(name="kept").exists() is in_transaction
    assert "failed on the event 'e'" in caplog.text
    assert read_metrics()["failed_invalidations"] == 1


def test_a_subscriber_that_fails_is_called_by_its_name(subscribe, caplog):
    subscribe("e", fail)
    publish("e")
    assert f"{__name__}.subscribe.<locals>.add.<locals>.subscriber failed on" in caplog.text


def test_a_subscriber_whose_query_fails_does_not_cost_the_write(subscribe, caplog):
    subscribe("e", fail_in_the_database)
    with delivered() as found, transaction.atomic():
        subscribe("e", invalidating("after"))
        baker.make(Category, name="kept")
        publish("e")
    assert Category.objects.filter(name="kept").exists()
    assert "after" in found.tags
    assert "division by zero" in caplog.text


def test_a_subscriber_whose_query_fails_does_not_keep_the_others_from_the_database(subscribe):
    subscribe("e", lambda event: invalidating(f"before:{Category.objects.count()}"))
    subscribe("e", fail_in_the_database)
    subscribe("e", lambda event: invalidating(f"after:{Category.objects.count()}"))
    subscribe("later", lambda event: invalidating(f"later:{Category.objects.count()}"))
    with delivered() as found, transaction.atomic():
        baker.make(Category)
        publish("e")
        publish("later")
    assert found.tags >= {"before:1", "after:1", "later:1"}


def test_what_other_subscribers_wrote_survives_one_whose_query_fails(subscribe):
    subscribe("e", write("log"))
    subscribe("e", fail_in_the_database)
    with transaction.atomic():
        baker.make(Product)
        publish("e")
    assert Category.objects.filter(name="log").exists()


@pytest.mark.parametrize("in_transaction", [True, False])
def test_a_subscriber_may_publish_further_events(in_transaction, subscribe):
    def relay(event: Event) -> Invalidation:
        publish("second", number=event.number + 1)
        return invalidating("first")

    subscribe("first", relay)
    subscribe("second", lambda event: invalidating(f"second:{event.number}"))
    with delivered() as found:
        if in_transaction:
            with transaction.atomic():
                publish("first", number=1)
        else:
            publish("first", number=1)
    assert found.tags == {"first", "second:2"}


def test_events_that_never_end_do_not_cost_the_write(subscribe, caplog):
    subscribe("e", lambda event: publish("e"))
    with transaction.atomic():
        baker.make(Category)
        publish("e")
    assert Category.objects.exists()
    assert "keep leading to further events" in caplog.text


def test_what_a_subscriber_writes_is_part_of_the_transaction_and_invalidates_too(subscribe):
    @cached(tags=[Category])
    def names():
        return list(Category.objects.values_list("name", flat=True))

    subscribe("e", write("by subscriber"))
    assert names() == []
    with transaction.atomic():
        publish("e")
    assert names() == ["by subscriber"]
