"""A cached function that is asked while a write is on its way, by code of the project's own."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections, transaction

from cache_invalidation import ModelInvalidation, cached, registry
from cache_invalidation.transactions.open_batches import batches
from tests.delivered import update_behind_the_back
from tests.elsewhere import elsewhere
from tests.testapp.halfway import Building, Depot
from tests.testapp.models import Category, Counter, Tag
from tests.writes.middles import after_each_statement, between_the_tables
from tests.writes.test_halfway import WRITES

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


@cached(name="names in the middle")
def names(using: str) -> list[str]:
    return sorted(
        f"{row}" for model in (Building, Category, Counter) for row in model.objects.using(using)
    )


@cached(name="tagged names in the middle", tags=[Building, Category, Counter])
def tagged_names(using: str) -> list[str]:
    return list(names.__wrapped__(using))  # type: ignore[attr-defined]


@cached(name="tags in the middle")
def unrelated(using: str) -> list[str]:
    return sorted(tag.name for tag in Tag.objects.using(using))


@pytest.fixture(params=[names, tagged_names], ids=["recorded", "tagged"])
def asked(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=["by key", "by value"], autouse=True)
def rule(request: pytest.FixtureRequest) -> Iterator[None]:
    tags = {"tags": ["named:{name}"]} if request.param == "by value" else {}
    declaration = type("Rule", (ModelInvalidation,), tags)
    with (
        registry.override(Building, declaration),
        registry.override(Category, declaration),
        registry.override(Counter, declaration),
    ):
        yield


@pytest.fixture(params=WRITES, ids=lambda write: write.__name__.strip("_"))
def write(request: pytest.FixtureRequest, using: str) -> Callable[[], None]:
    Category.objects.using(using).create(name="old")
    Counter.objects.using(using).create(name="counter")
    return lambda: request.param(using)


@pytest.mark.parametrize("is_there", [False, True], ids=["miss", "hit"])
@pytest.mark.parametrize("commits", [False, True], ids=["rollback", "commit"])
def test_between_the_tables_of_a_child_the_own_rows_are_seen_and_not_stored(
    using: str, asked: Any, is_there: bool, commits: bool
) -> None:
    if is_there:
        assert asked(using) == []
    seen = []
    with (
        between_the_tables(lambda row: seen.append(asked(using))),
        transaction.atomic(using=using),
    ):
        Depot(name="new").save(using=using)
        transaction.set_rollback(not commits, using=using)
    # Some versions of Django prepare a field more than once.
    assert seen
    assert all(found == ["new"] for found in seen)
    assert asked(using) == elsewhere(lambda: asked(using)) == (["new"] if commits else [])


def test_between_the_tables_of_a_child_in_autocommit_the_own_rows_are_seen(
    using: str, asked: Any
) -> None:
    assert asked(using) == []
    seen = []
    with between_the_tables(lambda row: seen.append(asked(using))):
        depot = Depot.objects.using(using).create(name="new")
        depot.name = "newer"
        depot.save()
    assert seen[0] == ["new"]
    assert seen[-1] == ["newer"]
    assert asked(using) == ["newer"]


@pytest.mark.parametrize("is_there", [False, True], ids=["miss", "hit"])
def test_after_each_statement_of_a_write_its_rows_are_seen_and_not_stored(
    using: str, asked: Any, write: Callable[[], None], is_there: bool
) -> None:
    before = asked.__wrapped__(using)
    if is_there:
        assert asked(using) == before
    seen = []

    def look() -> None:
        seen.append((asked(using), asked.__wrapped__(using)))

    with transaction.atomic(using=using):
        with after_each_statement(using, look):
            write()
        transaction.set_rollback(True, using=using)
    assert seen
    assert all(found == right for found, right in seen)
    assert asked(using) == elsewhere(lambda: asked(using)) == before


def test_once_a_write_has_told_what_is_unrelated_comes_from_the_cache_again(
    using: str, write: Callable[[], None]
) -> None:
    tag = Tag.objects.using(using).create(name="old")
    assert unrelated(using) == ["old"]
    with transaction.atomic(using=using):
        write()
        assert not any(batch.started for batch in batches(connections[using]))
        update_behind_the_back(Tag.objects.using(using).filter(pk=tag.pk), name="unseen")
        assert unrelated(using) == ["old"]
        transaction.set_rollback(True, using=using)


def test_a_save_in_a_savepoint_in_the_middle_takes_only_its_own_note_along(
    using: str, asked: Any
) -> None:
    assert asked(using) == []
    seen = []

    def save_another(row: Any) -> None:
        with transaction.atomic(using=using):
            Category(name="never").save(using=using)
            transaction.set_rollback(True, using=using)
        seen.append(asked(using))

    with between_the_tables(save_another), transaction.atomic(using=using):
        Depot(name="new").save(using=using)
        seen.append(asked(using))
        transaction.set_rollback(True, using=using)
    assert len(seen) >= 2
    assert all(found == ["new"] for found in seen)
    assert asked(using) == []
