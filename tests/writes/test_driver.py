"""Statements that reach the driver's cursor past Django's: `copy`, `stream`, `executescript`."""

from contextlib import nullcontext
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.db import connection, connections, transaction
from django.db.backends.utils import CursorWrapper

from cache_invalidation import ModelInvalidation, cached, registry
from tests.delivered import delivered
from tests.testapp.models import Category

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

postgresql = pytest.mark.skipif(
    connections["default"].vendor != "postgresql", reason="is about PostgreSQL"
)

COPY = "COPY testapp_category (name, slug) FROM STDIN"


@cached(name="names found")
def names(using="default"):
    return sorted(Category.objects.using(using).values_list("name", flat=True))


class Driver:
    """The cursor of psycopg 2, as far as it executes; psycopg 3 does what it is asked to do."""

    def copy_expert(self, sql: str, file: Any, size: int = 8192) -> None:
        with connection.connection.cursor() as cursor, cursor.copy(sql) as copy:
            if "FROM" in sql:
                copy.write(file.read())
            else:
                file.write(b"".join(copy).decode())

    def copy_from(self, file: Any, table: str, columns: Any = ()) -> None:
        self.copy_expert(f"COPY {table} ({', '.join(columns)}) FROM STDIN", file)

    def copy_to(self, file: Any, table: str) -> None:
        self.copy_expert(f"COPY {table} TO STDOUT", file)


@pytest.fixture
def psycopg2_cursor() -> CursorWrapper:
    connection.ensure_connection()
    return CursorWrapper(Driver(), connection)


@postgresql
@pytest.mark.parametrize("debug", [False, True])
def test_rows_that_are_copied_are_seen_when_they_are_there(
    debug: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(connections["default"], "force_debug_cursor", debug)
    assert names() == []
    with connection.cursor() as cursor, cursor.copy(COPY) as copy:
        copy.write_row(("a", "a"))
    assert names() == ["a"]
    with transaction.atomic(), connection.cursor() as cursor, cursor.copy(COPY) as copy:
        copy.write_row(("b", "b"))
    assert names() == ["a", "b"]


@postgresql
def test_nothing_is_invalidated_by_rows_that_were_not_copied():
    assert names() == []
    with (
        delivered() as batches,
        pytest.raises(ZeroDivisionError),
        connection.cursor() as cursor,
        cursor.copy(COPY) as copy,
    ):
        copy.write_row(("a", "a"))
        raise ZeroDivisionError
    assert names() == batches == []
    assert connection.get_autocommit()


@postgresql
def test_a_copy_with_an_error_raises_what_it_did():
    with (
        pytest.raises(psycopg.errors.UndefinedColumn),
        connection.cursor() as cursor,
        cursor.copy("COPY testapp_category (nonsense) FROM STDIN") as copy,
    ):
        copy.write_row(("a",))
    with connection.cursor() as cursor, pytest.raises(TypeError):
        cursor.copy(COPY, nonsense=True).__enter__()
    assert connection.get_autocommit()


@postgresql
def test_what_is_copied_out_is_recorded():
    @cached()
    def copied():
        with connection.cursor() as cursor, cursor.copy("COPY testapp_category TO STDOUT") as copy:
            return list(copy.rows())

    assert copied() == []
    Category.objects.create(name="new")
    assert len(copied()) == 1


@postgresql
def test_what_is_copied_out_opens_no_transaction(django_assert_num_queries: Any):
    with (
        django_assert_num_queries(1),
        connection.cursor() as cursor,
        cursor.copy("COPY testapp_category TO STDOUT") as copy,
    ):
        assert list(copy.rows()) == []


@postgresql
@pytest.mark.parametrize("rule", [None, "looks at values"])
@pytest.mark.parametrize("atomic", [False, True])
def test_a_streamed_write_is_seen(rule: str | None, atomic: bool):
    class Looking(ModelInvalidation):
        tags = ["named:{name}"]

    pk = Category.objects.create(name="old").pk
    assert names() == ["old"]
    update = "UPDATE testapp_category SET name = %s WHERE id = %s RETURNING name"
    with (
        delivered() as batches,
        registry.override(Category, Looking if rule else None),
        transaction.atomic() if atomic else nullcontext(),
        connection.cursor() as cursor,
    ):
        assert list(cursor.stream(update, ["new", pk])) == [("new",)]
    assert names() == ["new"]
    # Nobody tells how many rows it has found, so there may have been others.
    assert ("named:*" in batches.tags) is bool(rule)


@postgresql
def test_a_streamed_query_is_recorded_and_still_lazy():
    Category.objects.bulk_create(Category(name=f"{n}") for n in range(5))

    @cached()
    def first():
        with connection.cursor() as cursor:
            rows = cursor.stream("SELECT name FROM testapp_category ORDER BY name")
            found = next(rows)
            rows.close()
            return found

    assert first() == ("0",)
    Category.objects.create(name="!")
    assert first() == ("!",)


@postgresql
def test_the_copying_methods_of_psycopg_2_are_seen(psycopg2_cursor: Any):
    assert names() == []
    psycopg2_cursor.copy_from(StringIO("a\ta\n"), "testapp_category", columns=("name", "slug"))
    assert names() == ["a"]
    psycopg2_cursor.copy_expert(COPY, StringIO("b\tb\n"))
    assert names() == ["a", "b"]

    @cached()
    def copied():
        psycopg2_cursor.copy_to(file := StringIO(), "testapp_category")
        return file.getvalue().count("\n")

    assert copied() == 2
    Category.objects.create(name="c")
    assert copied() == 3


@postgresql
def test_what_calls_a_procedure_is_not_stored():
    calls = []

    @cached()
    def version():
        calls.append(1)
        with connection.cursor() as cursor:
            cursor.callproc("pg_backend_pid")
            return len(cursor.fetchall())

    with pytest.warns(match='CALL "pg_backend_pid"'):
        assert version() == 1
    with pytest.warns(match='CALL "pg_backend_pid"'):
        assert version() == 1
    assert len(calls) == 2


@pytest.mark.parametrize("atomic", [False, True])
def test_a_script_is_seen(atomic: bool):
    script = (
        "INSERT INTO testapp_category (name, slug) VALUES ('a; b', '');"
        "UPDATE testapp_category SET name = 'c'"
    )
    assert names("sqlite") == []
    with connections["sqlite"].cursor() as cursor:
        if atomic:
            with transaction.atomic("sqlite"):
                cursor.executescript(script)
        else:
            cursor.executescript(script)
    assert names("sqlite") == ["c"]


def test_a_driver_that_lacks_a_method_says_so_as_before():
    with connections["sqlite"].cursor() as cursor:
        assert not hasattr(cursor, "copy")
        with pytest.raises(AttributeError, match="copy_from"):
            cursor.copy_from(StringIO(), "testapp_category")
