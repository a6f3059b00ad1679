"""Statements of SQL, sent by hand: when the cache is told, and what if something goes wrong."""

import pytest
from django.db import (
    DatabaseError,
    IntegrityError,
    OperationalError,
    connection,
    connections,
    transaction,
)

from cache_invalidation import ModelInvalidation, cached, no_invalidation, registry
from cache_invalidation.exceptions import InvalidationAborted, StoreUnavailable
from cache_invalidation.models import PendingInvalidation
from cache_invalidation.stores import get_store
from tests.cursors import execute
from tests.elsewhere import elsewhere
from tests.stores.steps import is_fenced
from tests.testapp.models import Category, Counter

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])

UPDATE = "UPDATE testapp_category SET name = %s WHERE id = %s"


@pytest.fixture
def category(using):
    return Category.objects.using(using).create(name="old")


@cached(name="name of one category")
def name_of(pk, using):
    return Category.objects.using(using).values_list("name", flat=True).get(pk=pk)


def down(self, *args, **kwargs):
    raise StoreUnavailable("down")


@pytest.fixture
def steps(using, monkeypatch):
    """What happens, in order: calls of the store and statements executed."""
    found, store = [], type(get_store())

    def noted(name):
        method = getattr(store, name)

        def call(self, *args, **kwargs):
            found.append(name)
            return method(self, *args, **kwargs)

        return call

    def note(execute, sql, params, many, context):
        found.append(sql.split()[0])
        return execute(sql, params, many, context)

    for name in ("fence", "deliver"):
        monkeypatch.setattr(store, name, noted(name))
    with connections[using].execute_wrapper(note):
        yield found


def test_the_fence_is_up_while_a_statement_in_autocommit_runs(using, category, steps):
    assert name_of(category.pk, using) == "old"
    steps.clear()
    execute(using, UPDATE, ["new", category.pk])
    assert steps == ["fence", "UPDATE", "deliver"]
    assert name_of(category.pk, using) == "new"


def test_without_fences_it_is_told_afterwards_only(using, category, steps, settings):
    settings.CACHE_INVALIDATION = {"CONSISTENCY": "commit"}
    assert name_of(category.pk, using) == "old"
    steps.clear()
    execute(using, UPDATE, ["new", category.pk])
    assert steps == ["UPDATE", "deliver"]
    assert name_of(category.pk, using) == "new"


def test_in_a_transaction_any_number_of_statements_has_one_fence(using, category, steps):
    assert name_of(category.pk, using) == "old"
    steps.clear()
    with transaction.atomic(using=using):
        for number in range(3):
            execute(using, UPDATE, [f"{number}", category.pk])
            assert name_of(category.pk, using) == f"{number}"
        assert elsewhere(lambda: name_of(category.pk, using)) == "old"
        assert "fence" not in steps
    assert (steps.count("fence"), steps.count("deliver")) == (1, 1)
    assert name_of(category.pk, using) == "2"


def test_a_statement_that_the_database_refuses_lifts_its_fence(using):
    @cached()
    def names():
        return sorted(Counter.objects.using(using).values_list("name", flat=True))

    Counter.objects.using(using).create(name="a")
    assert names() == ["a"]
    with pytest.raises(IntegrityError):
        execute(using, "INSERT INTO testapp_counter (name, value) VALUES ('a', 0)")
    assert not is_fenced(get_store(), "testapp.counter")
    names()
    execute(using, "UPDATE testapp_counter SET name = 'b'")
    assert names() == ["b"]


def test_a_connection_that_is_lost_while_a_statement_runs_leaves_its_fence():
    if connection.vendor == "sqlite":
        pytest.skip("has no server")
    category = Category.objects.create(name="old")

    def lose(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if sql == UPDATE:
            with connection.create_cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                (pid,) = cursor.fetchone()
            elsewhere(lambda: end(pid))
            connection.connection.close()
            raise OperationalError("lost")
        return result

    def end(pid):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])

    assert name_of(category.pk, "default") == "old"
    with pytest.raises(OperationalError, match="lost"), connection.execute_wrapper(lose):
        execute("default", UPDATE, ["new", category.pk])
    connection.close()
    assert is_fenced(get_store(), f"testapp.category:{category.pk}")
    assert name_of(category.pk, "default") == "new"


def test_a_statement_that_nobody_can_be_told_of_is_not_executed(
    using, category, settings, monkeypatch
):
    settings.CACHE_INVALIDATION = {"ON_STORE_FAILURE": "abort"}
    assert name_of(category.pk, using) == "old"
    with monkeypatch.context() as patch:
        patch.setattr(type(get_store()), "fence", down)
        with pytest.raises(InvalidationAborted) as raised:
            execute(using, UPDATE, ["new", category.pk])
        assert isinstance(raised.value, DatabaseError)
        with pytest.raises(InvalidationAborted), transaction.atomic(using=using):
            execute(using, UPDATE, ["new", category.pk])
    assert Category.objects.using(using).get().name == "old"
    execute(using, UPDATE, ["new", category.pk])
    assert name_of(category.pk, using) == "new"


@pytest.mark.parametrize("failing", [["fence"], ["deliver"], ["fence", "deliver"]], ids=str)
def test_a_cache_that_is_down_keeps_no_statement_from_running(
    using, category, failing, monkeypatch
):
    assert name_of(category.pk, using) == "old"
    with monkeypatch.context() as patch:
        for name in failing:
            patch.setattr(type(get_store()), name, down)
        execute(using, UPDATE, ["new", category.pk])
    assert Category.objects.using(using).get().name == "new"
    if len(failing) == 1:  # The other one was enough.
        assert name_of(category.pk, using) == "new"
    else:
        row = PendingInvalidation.objects.using(using).get()
        assert "testapp.category" in row.targets["tags"]


def fetch_later(category, while_open):
    """Update on SQLite with RETURNING, which commits when the rows have been fetched."""
    with connections["sqlite"].cursor() as cursor:
        cursor.execute(f"{UPDATE} RETURNING name", ["new", category.pk])
        while_open()
        assert cursor.fetchall() == [("new",)]


@pytest.mark.parametrize("using", ["sqlite"])
@pytest.mark.parametrize("consistency", ["strict", "commit"])
@pytest.mark.parametrize("looks_at_values", [False, True])
def test_rows_that_are_returned_by_sqlite_are_committed_when_they_are_fetched(
    category, consistency, looks_at_values, settings
):
    settings.CACHE_INVALIDATION = {"CONSISTENCY": consistency}
    rule = type("Rule", (ModelInvalidation,), {"tags": ["name:{name}"] if looks_at_values else []})
    seen = []
    with registry.override(Category, rule):
        assert name_of(category.pk, "sqlite") == "old"
        fetch_later(
            category, lambda: seen.append(elsewhere(lambda: name_of(category.pk, "sqlite")))
        )
        assert seen == ["old"], "it was committed already, so this proves nothing"
        assert name_of(category.pk, "sqlite") == "new"


def test_a_statement_that_finds_no_row_invalidates_nothing(using, category, deliveries):
    texts = [
        'UPDATE "testapp_category" SET "name" = %s WHERE "id" = %s',
        'UPDATE "testapp_category" SET "slug" = %s WHERE "id" > %s',
        'DELETE FROM "testapp_category" WHERE "name" = %s AND "id" = %s',
    ]
    deliveries.clear()
    for text in texts:
        execute(using, text, ["x", category.pk + 1])
        with transaction.atomic(using=using):
            execute(using, text, ["x", category.pk + 1])
    assert deliveries == []
    execute(using, texts[1], ["x", category.pk - 1])
    assert deliveries.tags == {"testapp.category", "testapp.category:*"}


def test_the_number_of_rows_counts_only_if_it_is_that_of_the_write():
    if connection.vendor == "sqlite":
        pytest.skip("executes one statement at a time")
    category = Category.objects.create(name="0", slug="a")
    execute("default", "CREATE TABLE nobodys (number int)")
    texts = [
        "UPDATE testapp_category SET name = '1' WHERE slug = 'b';"
        "UPDATE testapp_category SET name = '1' WHERE slug = 'a'",
        "UPDATE nobodys SET number = 1; UPDATE testapp_category SET name = '2'",
        "WITH found AS (UPDATE testapp_category SET name = '3' RETURNING id)"
        " UPDATE nobodys SET number = 1",
        "WITH found AS (UPDATE testapp_category SET name = '4' RETURNING id)"
        " DELETE FROM nobodys WHERE number IN (SELECT id FROM found)",
    ]
    try:
        for number, text in enumerate(texts):
            assert name_of(category.pk, "default") == f"{number}"
            with transaction.atomic():
                execute("default", text)
            assert name_of(category.pk, "default") == f"{number + 1}"
    finally:
        execute("default", "DROP TABLE nobodys")


def test_nothing_is_said_where_the_project_has_asked_for_silence(using, category, deliveries):
    deliveries.clear()
    with no_invalidation():
        execute(using, UPDATE, ["1", category.pk])
        with transaction.atomic(using=using):
            execute(using, UPDATE, ["2", category.pk])
            assert name_of(category.pk, using) == "2"
    assert deliveries == []
    execute(using, UPDATE, ["3", category.pk])
    assert name_of(category.pk, using) == "3"


def test_both_databases_are_told_apart_by_their_transactions():
    pks = {
        alias: Category.objects.using(alias).create(name="old").pk for alias in ("default", "other")
    }
    assert [name_of(pk, alias) for alias, pk in pks.items()] == ["old", "old"]
    with transaction.atomic(using="other"):
        execute("other", UPDATE, ["new", pks["other"]])
        execute("default", UPDATE, ["new", pks["default"]])
        assert elsewhere(lambda: name_of(pks["default"], "default")) == "new"
        assert elsewhere(lambda: name_of(pks["other"], "other")) == "old"
    assert [name_of(pk, alias) for alias, pk in pks.items()] == ["new", "new"]


def test_a_reader_in_the_middle_of_a_statement_stores_nothing_stale(using, category):
    seen = []

    def read_first(execute, sql, params, many, context):
        if sql == UPDATE:
            seen.append(elsewhere(lambda: name_of(category.pk, using)))
        return execute(sql, params, many, context)

    with connections[using].execute_wrapper(read_first):
        execute(using, UPDATE, ["new", category.pk])
    assert seen == ["old"]
    assert name_of(category.pk, using) == "new"
