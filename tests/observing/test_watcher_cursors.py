"""Statements reach the watcher in whatever form a driver takes them, from any kind of cursor."""

from typing import Any

import pytest
from django.db import connection, connections, transaction
from psycopg import sql

from cache_invalidation import cached
from tests.testapp.models import Category

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

postgresql = pytest.mark.skipif(
    connections["default"].vendor != "postgresql", reason="is about PostgreSQL"
)


@cached(name="name by key")
def name_of(pk, using="default"):
    return Category.objects.using(using).values_list("name", flat=True).get(pk=pk)


@cached(name="streamed names")
def streamed(using):
    return [each.name for each in Category.objects.using(using).order_by("pk").iterator(2)]


@postgresql
def test_composed_statements_and_bytes_are_read_like_text():
    pk = Category.objects.create(name="0").pk
    table, column = sql.Identifier("testapp_category"), sql.Identifier("name")
    one = sql.SQL("UPDATE {} SET {} = {} WHERE id = {}")
    texts: list[Any] = [
        (one.format(table, column, sql.Literal("1"), sql.Literal(pk)), None),
        (one.format(table, column, sql.Placeholder(), sql.Placeholder()), ["2", pk]),
        (
            one.format(table, column, sql.Placeholder("a"), sql.Placeholder("b")),
            {"a": "3", "b": pk},
        ),
        (b"UPDATE testapp_category SET name = %s WHERE id = %s", ["4", pk]),
        (b"UPDATE testapp_category SET name = %b WHERE id = %t", ["5", pk]),
        (sql.SQL("UPDATE testapp_category SET name = '6'"), None),
    ]
    for number, (text, params) in enumerate(texts):
        assert name_of(pk) == f"{number}"
        with connection.cursor() as cursor:
            cursor.execute(text, params)
        assert name_of(pk) == f"{number + 1}"


@postgresql
def test_composed_queries_and_bytes_are_recorded():
    @cached()
    def names(is_composed):
        table = sql.Identifier("testapp_category")
        text: Any = (
            sql.SQL("SELECT name FROM {}").format(table)
            if is_composed
            else b"TABLE testapp_category"
        )
        with connection.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall()

    assert names(True) == names(False) == []
    Category.objects.bulk_create([Category(name="new")])
    assert names(True) == [("new",)]
    assert len(names(False)) == 1


@postgresql
def test_binary_parameters_are_no_obstacle():
    pk = Category.objects.create(name="old").pk
    assert name_of(pk) == "old"
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE testapp_category SET name = encode(%b, 'hex'), slug = %s WHERE id = %b",
            [b"\0\xff%s'", memoryview(b"x").hex(), pk],
        )
    assert name_of(pk) == "00ff257327"


@pytest.mark.parametrize("inside", [False, True], ids=["autocommit", "atomic"])
def test_rows_that_are_fetched_in_portions_are_recorded(using, inside):
    def read():
        if not inside:
            return streamed(using)
        with transaction.atomic(using=using):
            return streamed(using)

    Category.objects.using(using).bulk_create(Category(name=f"{n}") for n in range(5))
    assert read() == streamed(using) == ["0", "1", "2", "3", "4"]
    Category.objects.using(using).filter(name="3").update(name="x")
    assert read() == streamed(using) == ["0", "1", "2", "x", "4"]


def test_rows_that_are_not_all_fetched_are_recorded(using):
    @cached()
    def first():
        return next(Category.objects.using(using).order_by("name").iterator(1)).name

    Category.objects.using(using).bulk_create(Category(name=name) for name in "bcd")
    assert first() == "b"
    Category.objects.using(using).create(name="a")
    assert first() == "a"


def test_several_sets_of_parameters_are_all_executed_and_all_seen(using):
    keys = [Category.objects.using(using).create(name="old").pk for _ in range(3)]
    text = "UPDATE testapp_category SET name = %s WHERE id = %s"
    kinds: list[Any] = [list, tuple, iter]
    for number, make in enumerate(kinds):
        assert len({name_of(pk, using) for pk in keys}) == 1
        with connections[using].cursor() as cursor:
            cursor.executemany(text, make([[f"{number}", pk] for pk in keys[:2]]))
        assert [name_of(pk, using) for pk in keys] == [f"{number}", f"{number}", "old"]
        with transaction.atomic(using=using), connections[using].cursor() as cursor:
            cursor.executemany(text, make([["old", pk] for pk in keys]))
        assert [name_of(pk, using) for pk in keys] == ["old"] * 3


@postgresql
@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
def test_a_cursor_of_the_server_that_outlives_a_write_stores_nothing_stale(isolation):
    Category.objects.bulk_create(Category(name="old") for _ in range(5))

    @cached()
    def names():
        found = Category.objects.iterator(1)
        first = next(found).name
        write.pop()()
        return [first, *(each.name for each in found)]

    write: list[Any] = [lambda: None, lambda: Category.objects.update(name="new")]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
        assert names() == ["old"] * 5
    assert names() == ["new"] * 5
