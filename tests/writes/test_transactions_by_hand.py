"""Statements in a transaction that the project begins and ends by itself."""

import warnings

import pytest
from django.db import connections, transaction

from cache_invalidation import (
    CacheDependencyWarning,
    Invalidation,
    ModelInvalidation,
    cached,
    no_invalidation,
    publish,
    registry,
)
from cache_invalidation.transactions.open_batches import batches
from tests.cursors import execute
from tests.elsewhere import elsewhere
from tests.testapp.models import Category

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

UPDATE = "UPDATE testapp_category SET name = %s WHERE id = %s"


@pytest.fixture
def category(using):
    return Category.objects.using(using).create(name="old")


@cached(name="name of one category, by hand")
def name_of(pk, using):
    return Category.objects.using(using).values_list("name", flat=True).get(pk=pk)


def test_a_transaction_that_is_managed_by_hand_is_told_of_at_its_commit(using, category):
    assert name_of(category.pk, using) == "old"
    transaction.set_autocommit(False, using=using)
    try:
        execute(using, UPDATE, ["new", category.pk])
        assert name_of(category.pk, using) == "new"
        assert elsewhere(lambda: name_of(category.pk, using)) == "old"
        transaction.rollback(using=using)
        assert name_of(category.pk, using) == "old"
        execute(using, UPDATE, ["new", category.pk])
        assert elsewhere(lambda: name_of(category.pk, using)) == "old"
        transaction.commit(using=using)
        assert name_of(category.pk, using) == "new"
    finally:
        transaction.rollback(using=using)
        transaction.set_autocommit(True, using=using)


@pytest.mark.parametrize("write", ["statement", "update", "save"])
@pytest.mark.parametrize("looks_at_values", [False, True])
def test_a_transaction_that_is_begun_by_a_statement_leaves_nothing_stale(
    using, category, write, looks_at_values
):
    rule = type("Rule", (ModelInvalidation,), {"tags": ["name:{name}"] if looks_at_values else []})
    with registry.override(Category, rule):
        assert name_of(category.pk, using) == "old"
        execute(using, "BEGIN")
        try:
            category.name = "new"
            if write == "statement":
                execute(using, UPDATE, ["new", category.pk])
            elif write == "save":
                category.save()
            else:
                Category.objects.using(using).filter(pk=category.pk).update(name="new")
            assert elsewhere(lambda: name_of(category.pk, using)) == "old"
        finally:
            execute(using, "COMMIT")
        assert name_of(category.pk, using) == "new"


def test_switching_autocommit_on_is_a_commit_where_the_database_takes_it_for_one() -> None:
    pk = Category.objects.using("sqlite").create(name="old").pk
    assert name_of(pk, "sqlite") == "old"
    transaction.set_autocommit(False, using="sqlite")
    execute("sqlite", UPDATE, ["new", pk])
    transaction.set_autocommit(True, using="sqlite")
    assert name_of(pk, "sqlite") == "new"
    assert elsewhere(lambda: name_of(pk, "sqlite")) == "new"
    assert not any(batches(connections["sqlite"]))


def test_a_statement_in_a_pipeline_is_committed_later() -> None:
    pk = Category.objects.create(name="old").pk
    assert name_of(pk, "default") == "old"
    with connections["default"].connection.pipeline():
        execute("default", UPDATE, ["new", pk])
        assert elsewhere(lambda: name_of(pk, "default")) == "old"
    assert elsewhere(lambda: name_of(pk, "default")) == "new"


def test_an_entry_that_is_dropped_in_a_transaction_is_dropped_at_its_commit() -> None:
    @cached(name="dropped with the other database", tags=[])
    def read() -> str:
        return Category.objects.using("sqlite").values_list("name", flat=True).get()

    pk = Category.objects.using("sqlite").create(name="old").pk
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheDependencyWarning)
        assert read() == "old"
        with transaction.atomic(using="sqlite"), no_invalidation():
            Category.objects.using("sqlite").filter(pk=pk).update(name="new")
            read.invalidate()
            assert elsewhere(read) == "old"
        assert read() == "new"


# Where the database commits and Django does not know.


@pytest.fixture
def by_hand(using):
    """A connection that is in a transaction all the time."""
    transaction.set_autocommit(False, using=using)
    yield connections[using]
    connections[using].rollback()
    connections[using].set_autocommit(True)


def rename(pk, using, name="new"):
    Category.objects.using(using).filter(pk=pk).update(name=name)


def stored_name(pk, using):
    return elsewhere(lambda: name_of.__wrapped__(pk, using))


def test_what_the_database_commits_with_a_block_is_told_although_all_is_rolled_back(
    using, category, by_hand
):
    assert elsewhere(lambda: name_of(category.pk, using)) == "old"
    with transaction.atomic(using=using):
        rename(category.pk, using)
        assert elsewhere(lambda: name_of(category.pk, using)) == "old"
    right = "new" if using == "sqlite" else "old"
    assert stored_name(category.pk, using) == right
    assert elsewhere(lambda: name_of(category.pk, using)) == right
    transaction.rollback(using=using)
    assert stored_name(category.pk, using) == right
    assert elsewhere(lambda: name_of(category.pk, using)) == right
    assert name_of(category.pk, using) == right


@pytest.mark.parametrize("fails", [False, True])
def test_a_block_within_another_is_told_with_the_outermost(using, category, by_hand, fails):
    assert elsewhere(lambda: name_of(category.pk, using)) == "old"
    with transaction.atomic(using=using):
        with transaction.atomic(using=using):
            rename(category.pk, using)
        assert elsewhere(lambda: name_of(category.pk, using)) == "old"
        transaction.set_rollback(fails, using=using)
    assert elsewhere(lambda: name_of(category.pk, using)) == stored_name(category.pk, using)
    transaction.rollback(using=using)
    assert elsewhere(lambda: name_of(category.pk, using)) == stored_name(category.pk, using)


def test_a_block_after_a_write_waits_for_the_commit(using, category, by_hand):
    other = elsewhere(lambda: Category.objects.using(using).create(name="other").pk)
    assert elsewhere(lambda: name_of(category.pk, using)) == "old"
    rename(other, using)
    with transaction.atomic(using=using):
        rename(category.pk, using)
    assert elsewhere(lambda: name_of(category.pk, using)) == "old"
    transaction.rollback(using=using)
    assert elsewhere(lambda: name_of(category.pk, using)) == "old"
    with transaction.atomic(using=using):
        rename(category.pk, using)
    transaction.commit(using=using)
    assert elsewhere(lambda: name_of(category.pk, using)) == "new"


def test_a_savepoint_by_hand_that_is_the_outermost_is_told_when_it_is_released(
    using, category, by_hand
):
    assert elsewhere(lambda: name_of(category.pk, using)) == "old"
    with transaction.atomic(using=using, savepoint=False):
        sid = str(connections[using].savepoint())
        rename(category.pk, using, "newer")
        transaction.savepoint_rollback(sid, using=using)
        rename(category.pk, using)
        transaction.savepoint_commit(sid, using=using)
        assert elsewhere(lambda: name_of(category.pk, using)) == stored_name(category.pk, using)
    transaction.rollback(using=using)
    assert elsewhere(lambda: name_of(category.pk, using)) == stored_name(category.pk, using)


@pytest.mark.parametrize("names", ["ab", "aa", 'a"a"'])
def test_savepoints_by_statements_are_told_when_the_outermost_is_released(
    using, category, by_hand, names
):
    outer, inner = names[0], names[1:]
    assert elsewhere(lambda: name_of(category.pk, using)) == "old"
    execute(using, f"SAVEPOINT {outer}")
    execute(using, f"savepoint {inner}")
    rename(category.pk, using)
    execute(using, f"RELEASE SAVEPOINT {inner}")
    assert elsewhere(lambda: name_of(category.pk, using)) == "old"
    execute(using, f"release {outer}")
    assert elsewhere(lambda: name_of(category.pk, using)) == stored_name(category.pk, using)
    transaction.rollback(using=using)
    assert elsewhere(lambda: name_of(category.pk, using)) == stored_name(category.pk, using)


def test_a_statement_that_the_driver_does_not_take_for_a_write_is_told_at_once(
    using, category, by_hand
):
    assert elsewhere(lambda: name_of(category.pk, using)) == "old"
    execute(
        using,
        "WITH it AS (SELECT %s AS pk) UPDATE testapp_category SET name = 'new' "
        "WHERE id = (SELECT pk FROM it)",
        [category.pk],
    )
    assert elsewhere(lambda: name_of(category.pk, using)) == stored_name(category.pk, using)
    transaction.rollback(using=using)
    assert elsewhere(lambda: name_of(category.pk, using)) == stored_name(category.pk, using)


@pytest.mark.parametrize("commit", ["COMMIT", "end", "/* done */ Commit Transaction"])
def test_a_commit_by_a_statement_is_told(using, category, by_hand, commit):
    assert elsewhere(lambda: name_of(category.pk, using)) == "old"
    rename(category.pk, using)
    execute(using, commit)
    assert elsewhere(lambda: name_of(category.pk, using)) == "new"
    rename(category.pk, using, "never")
    transaction.rollback(using=using)
    assert elsewhere(lambda: name_of(category.pk, using)) == "new"


def test_a_commit_by_a_statement_in_a_block_is_told(using, category):
    assert elsewhere(lambda: name_of(category.pk, using)) == "old"
    with transaction.atomic(using=using):
        rename(category.pk, using)
        execute(using, "COMMIT")
        assert elsewhere(lambda: name_of(category.pk, using)) == "new"


def _by_update(category):
    rename(category.pk, "sqlite", "newer")


def _by_save(category):
    category.name = "newer"
    category.save()


def _by_statement(category):
    execute("sqlite", UPDATE, ["newer", category.pk])


@pytest.mark.parametrize("looks_at_values", [False, True])
@pytest.mark.parametrize("write", [_by_update, _by_save, _by_statement])
@pytest.mark.parametrize("end", ["COMMIT", "script"])
def test_what_is_written_in_a_block_that_sqlite_has_ended_is_told_at_once(
    write, end, looks_at_values
):
    rule = type("Rule", (ModelInvalidation,), {"tags": ["name:{name}"] if looks_at_values else []})
    category = Category.objects.using("sqlite").create(name="old")

    def read():
        return elsewhere(lambda: name_of(category.pk, "sqlite"))

    def asked():
        return elsewhere(lambda: name_of.__wrapped__(category.pk, "sqlite"))

    with registry.override(Category, rule):
        assert read() == "old"
        with transaction.atomic(using="sqlite"):
            rename(category.pk, "sqlite")
            if end == "COMMIT":
                execute("sqlite", "COMMIT")
            else:
                with connections["sqlite"].cursor() as cursor:
                    cursor.executescript("UPDATE testapp_category SET slug = 'x';")
            assert read() == asked() == "new"
            write(category)
            assert read() == asked() == "newer"
            transaction.set_rollback(True, using="sqlite")
        assert read() == asked() == "newer"


def test_events_wait_for_the_outermost_savepoint(deliveries):
    told = []

    def tell(event):
        told.append(event.name)
        return Invalidation(tags=["told"])

    registry.on_event("renamed", tell)
    transaction.set_autocommit(False, using="sqlite")
    try:
        pk = Category.objects.using("sqlite").create(name="x").pk
        transaction.commit(using="sqlite")
        deliveries.clear()
        with transaction.atomic(using="sqlite"):
            with transaction.atomic(using="sqlite"):
                rename(pk, "sqlite")
                publish("renamed", using="sqlite")
            assert told == []
        assert told == ["renamed"]
        assert "told" in deliveries.tags
    finally:
        registry.off_event(tell)
        transaction.rollback(using="sqlite")
        transaction.set_autocommit(True, using="sqlite")


def test_a_connection_that_is_closed_in_the_middle_forgets_what_it_has_not_committed(
    using, category, deliveries
):
    assert name_of(category.pk, using) == "old"
    deliveries.clear()
    transaction.set_autocommit(False, using=using)
    rename(category.pk, using)
    connections[using].close()
    assert name_of(category.pk, using) == "old"
    with transaction.atomic(using=using):
        pass
    assert deliveries == []
    assert elsewhere(lambda: name_of(category.pk, using)) == "old"
