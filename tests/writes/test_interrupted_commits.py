"""What interrupts a COMMIT, and what takes place right before it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections, transaction

from cache_invalidation import Event, Invalidation, ModelInvalidation, cached, publish, registry
from cache_invalidation.stores import get_store
from cache_invalidation.transactions.open_batches import batches
from tests.elsewhere import elsewhere
from tests.ruled import in_force
from tests.testapp.models import Category

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "sqlite"]),
    pytest.mark.filterwarnings("ignore::cache_invalidation.CacheDependencyWarning"),
]

Subscribe = Callable[[Callable[[Event], Any]], None]


@cached(tags=["testapp.category:{pk}"], name="interrupted.name")
def name_of(pk: int, using: str) -> str:
    return Category.objects.using(using).get(pk=pk).name


@cached(tags=["author:{pk}"], name="interrupted.byline")
def byline(pk: int, using: str) -> str:
    return Category.objects.using(using).get(pk=pk).name


rule = in_force({Category: ModelInvalidation})


@pytest.fixture
def subscribe() -> Iterator[Subscribe]:
    """Subscribe to the event "renamed" until the test ends."""
    subscribers = []

    def add(subscriber: Callable[[Event], Any]) -> None:
        subscribers.append(subscriber)
        registry.on_event("renamed", subscriber)

    yield add
    for subscriber in subscribers:
        registry.off_event(subscriber)


def interrupting_once(function: Callable[..., Any], error: type[BaseException]) -> Any:
    """Return `function`, but for its first call, which is interrupted."""
    calls: list[Any] = []

    def call(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) == 1:
            raise error
        return function(*args, **kwargs)

    return call


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_sqlite_commits_after_an_interrupted_fence_is_delivered(error, monkeypatch):
    """`Atomic` rolls back after an error of the database only, and then ends the transaction."""
    row = Category.objects.using("sqlite").create(name="old")
    assert name_of(row.pk, "sqlite") == "old"
    store = type(get_store())
    monkeypatch.setattr(store, "fence", interrupting_once(store.fence, error))
    with pytest.raises(error), transaction.atomic("sqlite"):
        Category.objects.using("sqlite").filter(pk=row.pk).update(name="new")
    assert Category.objects.using("sqlite").get(pk=row.pk).name == "new"
    assert name_of(row.pk, "sqlite") == "new"
    assert not any(batches(connections["sqlite"]))


def test_what_sqlite_commits_after_an_interrupted_subscriber_is_delivered(subscribe):
    answer = interrupting_once(lambda e: Invalidation(tags=[f"author:{e.pk}"]), SystemExit)
    subscribe(lambda event: answer(event))
    row = Category.objects.using("sqlite").create(name="old")
    assert name_of(row.pk, "sqlite") == byline(row.pk, "sqlite") == "old"
    with pytest.raises(SystemExit), transaction.atomic("sqlite"):
        Category.objects.using("sqlite").filter(pk=row.pk).update(name="new")
        publish("renamed", pk=row.pk, using="sqlite")
    assert Category.objects.using("sqlite").get(pk=row.pk).name == "new"
    assert name_of(row.pk, "sqlite") == byline(row.pk, "sqlite") == "new"


@pytest.mark.parametrize("using", ["default", "sqlite"])
@pytest.mark.parametrize("function", [name_of, byline], ids=["written", "named by the subscriber"])
def test_a_subscriber_sees_what_is_about_to_be_committed_and_does_not_leak_it(
    using, function, subscribe
):
    found = []

    def look(event: Event) -> Invalidation:
        found.extend([function(event.pk, using), elsewhere(lambda: function(event.pk, using))])
        return Invalidation(tags=[f"author:{event.pk}"])

    subscribe(look)
    row = Category.objects.using(using).create(name="old")
    assert function(row.pk, using) == "old"
    with transaction.atomic(using):
        Category.objects.using(using).filter(pk=row.pk).update(name="new")
        publish("renamed", pk=row.pk, using=using)
    assert found == ["new", "old"]
    assert function(row.pk, using) == "new"
