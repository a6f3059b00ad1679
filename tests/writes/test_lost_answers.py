"""COMMITs of which nobody knows what became of them, while no fence holds."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction

from cache_invalidation import Invalidation, ModelInvalidation, cached
from cache_invalidation.signals import invalidation_failed
from tests.delivered import Delivered
from tests.elsewhere import elsewhere
from tests.outages import Use, down, use
from tests.ruled import in_force
from tests.testapp.models import Category

__all__ = ["down", "use"]

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


@cached(tags=["testapp.category:{pk}"], name="lost_answers.name")
def name_of(pk: int, using: str = "default") -> str:
    return Category.objects.using(using).get(pk=pk).name


rule = in_force({Category: ModelInvalidation})


Commit = Callable[[Callable[[], None]], None]


@pytest.fixture
def committing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Commit], None]:
    """Have the next COMMIT done by a function, which gets the real one."""

    def replace(using: str, commit: Commit) -> None:
        connection: Any = connections[using]
        original = connection._commit

        def once() -> None:
            monkeypatch.setattr(connection, "_commit", original)
            commit(original)

        monkeypatch.setattr(connection, "_commit", once)

    return replace


def commit_and_lose_the_answer(commit: Callable[[], None]) -> None:
    """Commit as a server does whose client never hears of it."""
    commit()
    driver: Any = connections["default"].connection
    driver.close()
    raise OperationalError("server closed the connection unexpectedly")


def rename(pk: int) -> None:
    with pytest.raises(OperationalError), transaction.atomic():
        Category.objects.filter(pk=pk).update(name="new")


def test_a_write_without_a_fence_is_delivered(settings, committing, deliveries: Delivered):
    settings.CACHE_INVALIDATION = {"CONSISTENCY": "commit"}
    pk = Category.objects.create(name="old").pk
    assert name_of(pk) == "old"
    deliveries.clear()
    committing("default", commit_and_lose_the_answer)
    rename(pk)
    assert name_of(pk) == Category.objects.get(pk=pk).name == "new"
    assert f"testapp.category:{pk}" in deliveries.tags


def test_a_write_whose_fence_has_lapsed_is_delivered(settings, committing):
    settings.CACHE_INVALIDATION = {"FENCE_TIMEOUT": 0.1}
    pk = Category.objects.create(name="old").pk

    def commit_late(commit: Callable[[], None]) -> None:
        time.sleep(0.2)
        assert elsewhere(lambda: name_of(pk)) == "old"
        commit_and_lose_the_answer(commit)

    committing("default", commit_late)
    rename(pk)
    assert name_of(pk) == Category.objects.get(pk=pk).name == "new"


def test_what_cannot_be_delivered_is_told_of(down: Use, committing):
    lost: list[Invalidation] = []

    def hear(invalidation: Invalidation, **about: Any) -> None:
        lost.append(invalidation)

    down(ON_STORE_FAILURE="ignore")
    pk = Category.objects.create(name="old").pk
    committing("default", commit_and_lose_the_answer)
    invalidation_failed.connect(hear)
    try:
        rename(pk)
    finally:
        invalidation_failed.disconnect(hear)
    assert f"testapp.category:{pk}" in {tag for each in lost for tag in each.tags}


@pytest.mark.parametrize("consistency", ["strict", "commit"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_commit_of_sqlite_that_is_interrupted_is_delivered_once_it_is_done(
    when, consistency, settings, committing
):
    """`Atomic` commits after all, by switching autocommit on."""
    settings.CACHE_INVALIDATION = {"CONSISTENCY": consistency}
    pk = Category.objects.using("sqlite").create(name="old").pk
    assert name_of(pk, "sqlite") == "old"

    def interrupted(commit: Callable[[], None]) -> None:
        if when == "after":
            commit()
        raise KeyboardInterrupt

    committing("sqlite", interrupted)
    with pytest.raises(KeyboardInterrupt), transaction.atomic("sqlite"):
        Category.objects.using("sqlite").filter(pk=pk).update(name="new")
    assert Category.objects.using("sqlite").get(pk=pk).name == "new"
    assert name_of(pk, "sqlite") == "new"
