"""The watcher looks at every statement, and nobody can tell that it is there."""

import gc
from contextlib import contextmanager

import pytest
from django.db import DatabaseError, IntegrityError, connection, connections, transaction

from cache_invalidation import cached
from cache_invalidation.observing import watcher
from cache_invalidation.observing.watcher import Watcher
from cache_invalidation.sql import analysis
from cache_invalidation.writes import statements
from tests.cursors import execute
from tests.elsewhere import elsewhere
from tests.testapp.models import Category, Counter

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

UPDATE = "UPDATE testapp_category SET name = %s WHERE id = %s"


@pytest.fixture(params=["autocommit", "atomic"])
def scope(request, using):
    """Return what makes the block a transaction, or nothing of the kind."""

    @contextmanager
    def autocommit():
        yield

    return autocommit if request.param == "autocommit" else lambda: transaction.atomic(using=using)


@pytest.fixture
def category(using):
    return Category.objects.using(using).create(name="old")


@cached(name="name of a category")
def name_of(pk, using):
    return Category.objects.using(using).values_list("name", flat=True).get(pk=pk)


def watchers(connection):
    return [each for each in connection.execute_wrappers if isinstance(each, Watcher)]


def test_it_is_installed_once_and_first_however_often_a_connection_is_opened(using):
    for _ in range(3):
        connections[using].close()
        connections[using].ensure_connection()
        assert len(watchers(connections[using])) == 1
        assert isinstance(connections[using].execute_wrappers[0], Watcher)
    watcher.install(statements.write)
    assert len(watchers(connections[using])) == 1


def test_a_block_of_the_project_that_opens_the_connection_takes_its_own_wrapper_away(using):
    seen = []

    def mine(execute, sql, params, many, context):
        seen.append(sql)
        return execute(sql, params, many, context)

    def use():
        connection = connections[using]
        assert connection.connection is None
        with connection.execute_wrapper(mine):
            Category.objects.using(using).count()
            assert [type(each) for each in connection.execute_wrappers] == [Watcher, type(mine)]
        assert [type(each) for each in connection.execute_wrappers] == [Watcher]
        Category.objects.using(using).count()

    elsewhere(use)
    assert len(seen) == 1


def test_it_can_be_taken_away_and_put_back(using, category):
    watcher.uninstall()
    try:
        assert watchers(connections[using]) == []
        assert (
            elsewhere(lambda: (execute(using, "SELECT 1"), watchers(connections[using]))[1]) == []
        )
        with pytest.raises(Category.DoesNotExist):
            Category.objects.using(using).get(pk=-1)
    finally:
        watcher.install(statements.write)
    assert len(watchers(connections[using])) == 1
    assert name_of(category.pk, using) == "old"
    execute(using, UPDATE, ["new", category.pk])
    assert name_of(category.pk, using) == "new"


def test_it_is_on_the_connections_of_other_threads(using, category):
    assert name_of(category.pk, using) == "old"
    elsewhere(lambda: execute(using, UPDATE, ["new", category.pk]))
    assert name_of(category.pk, using) == "new"


def test_a_connection_that_belongs_to_no_alias_is_left_alone():
    if connection.vendor == "sqlite":
        pytest.skip("has no connection without a database")
    with connection._nodb_cursor() as cursor:
        cursor.execute("SELECT 1")
        assert watchers(cursor.db) == []
        assert cursor.fetchone() == (1,)


def test_a_copy_of_a_connection_has_transactions_of_its_own():
    if connection.vendor == "sqlite":
        pytest.skip("locks the whole database")
    pk = Category.objects.create(name="old").pk
    copy = connection.copy()
    try:
        copy.set_autocommit(False)
        with copy.cursor() as cursor:
            cursor.execute(UPDATE, ["new", pk])
        assert name_of(pk, "default") == "old"
        copy.commit()
        assert name_of(pk, "default") == "new"
    finally:
        copy.close()


@pytest.mark.parametrize(
    ("sql", "params"),
    [("SELECT * FROM testapp_category WHERE id = %s", [3]), (UPDATE, ["x", 3]), ("SELECT 1", None)],
)
def test_what_passes_is_handed_on_as_it_is_and_so_is_what_comes_back(using, scope, sql, params):
    passed, result = [], object()

    def mine(execute, *given):
        passed.append(given)
        execute(*given)
        return result

    with scope(), connections[using].execute_wrapper(mine), connections[using].cursor() as cursor:
        assert cursor.execute(sql, params) is result
        (given,) = (each for each in passed if each[0] is sql)
        assert given[1] is params
        assert given[2] is False
        assert given[3] == {"connection": connections[using], "cursor": cursor}


@pytest.mark.parametrize("executes", [False, True])
def test_what_a_wrapper_raises_reaches_the_project_and_leaves_nothing_stale(
    using, scope, category, executes
):
    def mine(execute, *given):
        if given[0] != sql:
            return execute(*given)
        if executes:
            execute(*given)
        raise error

    old = "old"
    for sql in ("SELECT name FROM testapp_category WHERE %s <> %s", UPDATE):
        for number, error in enumerate((IntegrityError(), RuntimeError(), KeyboardInterrupt())):
            assert name_of(category.pk, using) == old
            params = [f"{number}", category.pk] if sql == UPDATE else [1, 2]
            with scope(), connections[using].execute_wrapper(mine):
                with pytest.raises(type(error)) as raised:
                    execute(using, sql, params)
                assert raised.value is error
            old = f"{number}" if executes and sql == UPDATE else old
            assert name_of(category.pk, using) == name_of.uncached(category.pk, using) == old


def test_a_failing_statement_raises_what_the_database_says(using, scope):
    Counter.objects.using(using).create(name="a")
    with pytest.raises(IntegrityError) as raised, scope():
        execute(using, "INSERT INTO testapp_counter (name, value) VALUES ('a', 1)")
    assert "UNIQUE" in str(raised.value).upper() or "NULL" in str(raised.value).upper()
    assert type(raised.value.__cause__).__module__.split(".")[0] in ("psycopg", "sqlite3")


def test_a_broken_transaction_is_the_error_it_always_was(using, category):
    statements = [
        ("SELECT * FROM testapp_category", None),
        (UPDATE, ["new", category.pk]),
        ("UPDATE testapp_product SET name = 'x' WHERE id = 1", None),
    ]
    with pytest.raises(ZeroDivisionError), transaction.atomic(using=using):
        with pytest.raises(DatabaseError), transaction.atomic(using=using, savepoint=False):
            execute(using, "SELECT * FROM no_such_table")
        for sql, params in statements:
            with pytest.raises(transaction.TransactionManagementError, match="end of the 'atomic'"):
                execute(using, sql, params)
        with pytest.raises(transaction.TransactionManagementError):
            name_of.uncached(category.pk, using)
        raise ZeroDivisionError
    assert name_of(category.pk, using) == "old"


GARBAGE = [
    "",
    ";",
    ";;;",
    "garbage",
    "UPDATE",
    "UPDATE testapp_category SET",
    "DELETE FROM testapp_category WHERE",
    "INSERT INTO testapp_category VALUES (",
    "SELECT 'never closed FROM testapp_category",
    'UPDATE "testapp_category',
    "/* never closed testapp_category",
    "$$ testapp_category",
    "(" * 200,
    "SELECT " + "(" * 200 + "1" + ")" * 200,
    "WITH testapp_category AS",
    "\N{GREEK SMALL LETTER ALPHA}\N{BELL} testapp_category",
    "SELECT \0 FROM testapp_category",
    "\ud800",
]


def test_garbage_is_answered_by_the_database_as_if_nobody_watched(using, scope):
    def outcome(text):
        execute(using, "SELECT 1")  # SQLite may answer nothing with the error before.
        try:
            with scope():
                execute(using, text)
        except Exception as error:
            return type(error), str(error)
        return None

    watched = [outcome(text) for text in GARBAGE]
    watcher.uninstall()
    try:
        assert [outcome(text) for text in GARBAGE] == watched
    finally:
        watcher.install(statements.write)
    assert sum(each is not None for each in watched) > 10
    assert Category.objects.using(using).count() == 0


def test_a_statement_of_a_megabyte_is_seen_as_any_other(using, category):
    long = ", ".join(f"'{number:>20}'" for number in range(50_000))
    assert len(long) > 1_000_000

    @cached()
    def count():
        sql = f"SELECT count(*) FROM testapp_category WHERE name NOT IN ({long})"
        with connections[using].cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()

    assert count() == (1,)
    assert name_of(category.pk, using) == "old"
    execute(using, f"UPDATE testapp_category SET name = 'new' WHERE name NOT IN ({long})")
    assert name_of(category.pk, using) == "new"
    Category.objects.using(using).create(name="another")
    assert count() == (2,)


def test_statements_that_never_come_again_do_not_add_up():
    watch = watchers(connection)[0]
    context = {"connection": connection, "cursor": None}

    def pass_by(numbers):
        for number in numbers:
            watch(
                lambda *given: None, f"SELECT {number} FROM testapp_category", None, False, context
            )
        gc.collect()

    # How full the younger half of the cache is must not hang on the tests before.
    analysis._cache.clear()
    pass_by(range(5_000))
    before = len(gc.get_objects())
    pass_by(range(5_000, 11_000))
    assert len(gc.get_objects()) - before < 6_000


def test_a_procedure_that_is_called_runs():
    if connection.vendor == "sqlite":
        pytest.skip("has no procedures")
    with connection.cursor() as cursor:
        cursor.callproc("abs", [-3])
        assert cursor.fetchone() == (3,)


def test_a_cursor_that_is_used_for_several_statements_is_seen_each_time(using, category):
    assert name_of(category.pk, using) == "old"
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT name FROM testapp_category")
        assert cursor.fetchall() == [("old",)]
        cursor.execute(UPDATE, ["new", category.pk])
        assert cursor.rowcount == 1
        assert name_of(category.pk, using) == "new"
        cursor.execute("SELECT name FROM testapp_category")
        assert cursor.fetchall() == [("new",)]
