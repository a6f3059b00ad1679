"""A write that fails halfway, in a transaction that goes on: what was written is committed."""

import pickle
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import copy
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import Model
from django.db.models.signals import m2m_changed

from cache_invalidation import ModelInvalidation, cached, registry
from tests.cursors import execute
from tests.delivered import Delivered
from tests.elsewhere import elsewhere
from tests.testapp.halfway import Building, Depot
from tests.testapp.models import Category, Counter, Product, Tag
from tests.writes.middles import after_each_statement, between_the_tables

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


class Oops(BaseException):
    """Like a `KeyboardInterrupt`, it can come at any moment."""


def fail(*args: Any) -> None:
    raise Oops


@cached(name="halfway names")
def names(using: str) -> list[str]:
    return sorted(
        f"{row}" for model in (Building, Category, Counter) for row in model.objects.using(using)
    )


@cached(name="halfway building", tags=["testapp.building:{pk}"])
def building(pk: int, using: str) -> str:
    return Building.objects.using(using).get(pk=pk).name


@cached(name="halfway named", tags=["named:{name}"])
def how_many(name: str, using: str) -> int:
    return Building.objects.using(using).filter(name=name).count()


@cached(name="halfway tags of a product", tags=["testapp.product:{pk}"])
def tags_of(pk: int, using: str) -> list[int]:
    relations = Product.tags.through.objects.using(using).filter(product=pk)
    return sorted(relations.values_list("tag", flat=True))


class Named(ModelInvalidation):
    tags = ["named:{name}"]


@pytest.fixture(params=[ModelInvalidation, Named], ids=["by key", "by value"], autouse=True)
def rule(request: pytest.FixtureRequest) -> Iterator[None]:
    with (
        registry.override(Building, request.param),
        registry.override(Category, request.param),
        registry.override(Counter, request.param),
    ):
        yield


def interrupted(using: str, write: Callable[[], object]) -> None:
    """Run `write`, which raises, in a transaction that is committed all the same."""
    with transaction.atomic(using=using):
        with pytest.raises(Oops):
            write()
        transaction.set_rollback(False, using=using)


def test_the_parent_of_a_child_that_could_not_be_inserted_is_told(using: str) -> None:
    assert names(using) == []
    with between_the_tables(fail):
        interrupted(using, lambda: Depot(name="new").save(using=using))
    assert names(using) == ["new"]


def test_the_parent_of_a_child_that_could_not_be_updated_is_told(using: str) -> None:
    depot = Depot.objects.using(using).create(name="old")
    assert names(using) == ["old"]
    assert building(depot.pk, using) == "old"
    depot.name = "new"
    with between_the_tables(fail):
        interrupted(using, depot.save)
    assert names(using) == ["new"]
    assert building(depot.pk, using) == "new"


def test_the_values_of_a_row_that_was_saved_halfway_are_told(using: str) -> None:
    with registry.override(Building, Named):
        assert (how_many("old", using), how_many("new", using)) == (0, 0)
        with between_the_tables(fail):
            interrupted(using, lambda: Depot(name="old").save(using=using))
        assert (how_many("old", using), how_many("new", using)) == (1, 0)
        depot = Depot.objects.using(using).create(name="old")
        assert how_many("old", using) == 2
        depot.name = "new"
        with between_the_tables(fail):
            interrupted(using, depot.save)
        assert (how_many("old", using), how_many("new", using)) == (1, 1)


def _insert(using: str) -> None:
    Category(name="new").save(using=using)


def _save(using: str) -> None:
    row = Category.objects.using(using).get()
    row.name = "new"
    row.save()


def _update(using: str) -> None:
    Category.objects.using(using).update(name="new")


def _bulk_create(using: str) -> None:
    Category.objects.using(using).bulk_create([Category(name="a"), Category(name="b")])


def _in_batches(using: str) -> None:
    made = [Category(name="a"), Category(name="b")]
    Category.objects.using(using).bulk_create(made, batch_size=1)


def _bulk_update(using: str) -> None:
    row = Category.objects.using(using).get()
    row.name = "new"
    Category.objects.using(using).bulk_update([row], ["name"])


def _delete(using: str) -> None:
    Category.objects.using(using).get().delete()


def _delete_all(using: str) -> None:
    Category.objects.using(using).all().delete()


def _parent(using: str) -> None:
    Depot(name="new").save(using=using)


def _statement(using: str) -> None:
    execute(using, "UPDATE testapp_category SET name = %s", ["new"])


def _statement_by_key(using: str) -> None:
    pk = Category.objects.using(using).get().pk
    execute(using, "UPDATE testapp_category SET name = %s WHERE id = %s", ["new", pk])


def _statements(using: str) -> None:
    pk = Category.objects.using(using).get().pk
    with connections[using].cursor() as cursor:
        cursor.executemany("UPDATE testapp_category SET name = %s WHERE id = %s", [("new", pk)])


WRITES = [
    _insert,
    _save,
    _update,
    _bulk_create,
    _in_batches,
    _bulk_update,
    _delete,
    _delete_all,
    _parent,
    _statement,
    _statement_by_key,
    _statements,
]


def _named(write: Callable[[str], None]) -> str:
    return write.__name__.strip("_")


@pytest.fixture(params=WRITES, ids=_named)
def write(request: pytest.FixtureRequest, using: str) -> Callable[[], None]:
    Category.objects.using(using).create(name="old")
    Counter.objects.using(using).create(name="counter")
    return lambda: request.param(using)


def stored(using: str) -> list[str]:
    """Return what `names` has to return, past every cache."""
    return list(names.__wrapped__(using))  # type: ignore[attr-defined]


def test_what_was_written_before_an_interruption_is_told_at_commit(
    using: str, write: Callable[[], None]
) -> None:
    before = names(using)
    with after_each_statement(using, fail):
        interrupted(using, write)
    assert stored(using) != before, "nothing was written, so this proves nothing"
    assert names(using) == stored(using)
    assert elsewhere(lambda: names(using)) == stored(using)


def test_what_was_written_before_an_interruption_is_told_in_a_transaction_by_hand(
    using: str, write: Callable[[], None]
) -> None:
    before = names(using)
    transaction.set_autocommit(False, using=using)
    try:
        with after_each_statement(using, fail), suppress(Oops):
            write()
        transaction.commit(using=using)
    finally:
        transaction.rollback(using=using)
        transaction.set_autocommit(True, using=using)
    assert names(using) == stored(using)
    assert before == stored(using) or names(using) != before


# The others would begin a transaction in it, which PostgreSQL refuses.
@pytest.mark.parametrize(
    "write", [_insert, _save, _update, _statement, _statement_by_key], ids=_named, indirect=True
)
def test_what_was_written_before_an_interruption_is_told_in_a_transaction_nobody_knows_of(
    using: str, write: Callable[[], None]
) -> None:
    names(using)
    execute(using, "BEGIN")
    try:
        with after_each_statement(using, fail), suppress(Oops):
            write()
        assert elsewhere(lambda: names(using)) == elsewhere(lambda: stored(using))
    finally:
        execute(using, "COMMIT")
    assert names(using) == stored(using)


def test_an_interrupted_write_that_is_rolled_back_drops_nothing(
    using: str, write: Callable[[], None], deliveries: Delivered
) -> None:
    before = names(using)
    deliveries.clear()
    with transaction.atomic(using=using):
        with (
            after_each_statement(using, fail),
            pytest.raises(Oops),
            transaction.atomic(using=using),
        ):
            write()
        assert names(using) == before
    assert deliveries == []
    with after_each_statement(using, fail), pytest.raises(Oops), transaction.atomic(using=using):
        write()
    assert deliveries == []
    assert names(using) == before


def test_a_batch_that_fails_leaves_the_one_before_it_told(using: str) -> None:
    assert names(using) == []
    executed: list[int] = []
    made = [Category(name="a"), Category(name="b")]

    def fail_at_the_second() -> None:
        executed.append(1)
        if len(executed) == 2:
            fail()

    with after_each_statement(using, fail_at_the_second), transaction.atomic(using=using):
        with pytest.raises(Oops):
            Category.objects.using(using).bulk_create(made, batch_size=1)
        transaction.set_rollback(False, using=using)
    assert names(using) == ["a", "b"]


def test_a_later_write_leaves_the_note_of_an_interrupted_one_alone(using: str) -> None:
    depot = Depot.objects.using(using).create(name="old")
    assert building(depot.pk, using) == "old"
    depot.name = "new"
    with transaction.atomic(using=using):
        with between_the_tables(fail), pytest.raises(Oops):
            depot.save()
        transaction.set_rollback(False, using=using)
        Depot.objects.using(using).create(name="another")
        with suppress(ValueError), transaction.atomic(using=using):
            Depot.objects.using(using).create(name="never")
            raise ValueError
        with transaction.atomic(using=using):
            Building.objects.using(using).create(name="one more")
    assert building(depot.pk, using) == "new"


def test_a_save_after_an_interrupted_one_looks_at_the_row_anew(
    using: str, deliveries: Delivered
) -> None:
    depot = Depot.objects.using(using).create(name="a")
    with registry.override(Building, Named), between_the_tables(fail), pytest.raises(Oops):
        depot.save()
    Building.objects.using(using).filter(pk=depot.pk).update(name="b")
    deliveries.clear()
    depot.name = "c"
    with registry.override(Building, Named):
        depot.save()
    assert deliveries.family("named") == {"named:b", "named:c"}


@pytest.mark.parametrize("duplicate", [copy, lambda row: pickle.loads(pickle.dumps(row))])
def test_a_copy_that_is_made_in_the_middle_knows_nothing_of_the_save(
    using: str, deliveries: Delivered, duplicate: Callable[[Model], Any]
) -> None:
    copies: list[Any] = []
    depot = Depot.objects.using(using).create(name="a")
    with registry.override(Building, Named):
        with between_the_tables(lambda row: copies.append(duplicate(row))):
            depot.name = "b"
            depot.save()
        deliveries.clear()
        copies[0].name = "c"
        copies[0].save()
    assert deliveries.family("named") == {"named:b", "named:c"}


def test_an_instance_that_is_saved_once_more_in_the_middle_tells_both(
    using: str, deliveries: Delivered
) -> None:
    depot = Depot.objects.using(using).create(name="a")
    names_to_come = ["b"]

    def save_again(row: Any) -> None:
        if names_to_come:
            row.name = names_to_come.pop()
            row.save()

    deliveries.clear()
    depot.name = "c"
    with registry.override(Building, Named), between_the_tables(save_again):
        depot.save()
    assert Building.objects.using(using).get().name == "b"
    assert deliveries.family("named") >= {"named:a", "named:b"}


def test_an_instance_that_is_saved_to_another_database_in_the_middle_tells_both(
    deliveries: Delivered,
) -> None:
    depot = Depot.objects.using("default").create(name="a")
    Depot(pk=depot.pk, building_ptr_id=depot.pk, name="z").save(using="sqlite")
    saved: list[Any] = []

    def save_there(row: Any) -> None:
        if not saved:
            saved.append(row)
            row.save(using="sqlite")

    deliveries.clear()
    depot.name = "b"
    with registry.override(Building, Named), between_the_tables(save_there):
        depot.save(using="default")
    assert deliveries.family("named") == {"named:a", "named:b", "named:z"}


# That the tag does not tell of relations that go along with a tag is not what this is about.
@pytest.mark.filterwarnings("ignore::cache_invalidation.CacheDependencyWarning")
@pytest.mark.parametrize("change", ["add", "remove", "set", "clear"])
@pytest.mark.parametrize("by", ["receiver", "statement"])
@pytest.mark.parametrize("by_value", [False, True])
def test_a_relation_that_is_changed_halfway_is_told(
    using: str, change: str, by: str, by_value: bool
) -> None:
    rule = type("Rule", (ModelInvalidation,), {"tags": ["slug:{slug}"] if by_value else []})
    with registry.override(Product, rule):
        product = Product.objects.using(using).create(name="P")
        tags = [Tag.objects.using(using).create(name=name) for name in "ab"]
        product.tags.set(tags[:1])
        assert tags_of(product.pk, using) == [tags[0].pk]
        given: dict[str, list[Any]]
        given = {"add": tags[1:], "remove": tags[:1], "set": [tags[1:]], "clear": []}

        def act() -> None:
            getattr(product.tags, change)(*given[change])

        if by == "statement":
            with after_each_statement(using, fail):
                interrupted(using, act)
        else:
            with _receiver_before_all_others():
                interrupted(using, act)
        after = {"add": tags, "remove": [], "set": [], "clear": []}[change]
        assert tags_of(product.pk, using) == [tag.pk for tag in after]


class _receiver_before_all_others:  # noqa: N801
    """Have a receiver of the project raise once rows of a relation were written."""

    def __enter__(self) -> None:
        def receive(action: str, **kwargs: Any) -> None:
            if action.startswith("post_"):
                raise Oops

        self.receive = receive
        m2m_changed.connect(receive, sender=Product.tags.through)
        m2m_changed.receivers.insert(0, m2m_changed.receivers.pop())
        m2m_changed.sender_receivers_cache.clear()

    def __exit__(self, *error: object) -> None:
        m2m_changed.disconnect(self.receive, sender=Product.tags.through)
