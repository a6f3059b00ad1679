"""Writes that fail half-way, in a transaction that goes on and is committed."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import DatabaseError, connections, transaction

from tests.coverage_matrix.ways import SPECIAL, VALUES, Section
from tests.coverage_matrix.world import World
from tests.moments import Interruption, interrupting
from tests.testapp.matrix import Item, SpecialItem

section = Section(
    "Failing half-way",
    "The error is caught inside of the transaction, which goes on after `set_rollback(False)`.\n"
    "All that was written before the error is committed. Until then the transaction reads\n"
    "around the cache.",
    blind=True,
    few=True,
)
CHILD = 'INSERT INTO "testapp_specialitem"'


@contextmanager
def failing(world: World, text: str, number: int = 0) -> Iterator[None]:
    """Have that statement fail, and go on."""
    with transaction.atomic(using=world.alias):
        try:
            with interrupting(world.alias, "before", number, text):
                yield
        except Interruption:
            transaction.set_rollback(False, using=world.alias)
        else:
            raise AssertionError(f"There was no {text}.")


@section.way(
    "`create()` of a multi-table child, after the parent's row",
    seen="statement",
    goes="table",
    target="new",
    changes=VALUES,
)
def create_half_a_child(world: World) -> None:
    with failing(world, CHILD):
        world.objects(SpecialItem).create(code="new", name="new", topic=world.topic)


@section.way(
    "`save()` of a multi-table child, after the parent's row",
    seen="statement",
    goes="table",
    target="special",
    changes=SPECIAL,
)
def save_half_a_child(world: World) -> None:
    world.special.number = 2
    with failing(world, 'UPDATE "testapp_specialitem" SET "extra"'):
        world.special.save()


@section.way(
    "`update()` of a multi-table child, after one of two tables",
    seen="statement",
    goes_by_rule="table",
    target="special",
    changes={"child"},
)
def update_half_a_child(world: World) -> None:
    with failing(world, 'UPDATE "testapp_item" SET "number"'):
        world.objects(SpecialItem).filter(pk=world.special.pk).update(extra="written", number=2)


@section.way(
    "`bulk_create()`, in the second batch",
    seen="statement",
    goes="table",
    target="new",
    changes=VALUES,
)
def bulk_create_half(world: World) -> None:
    with failing(world, 'INSERT INTO "testapp_item"', 1):
        world.objects(Item).bulk_create([world.new("new"), world.new("newer")], batch_size=1)


@section.way(
    "`bulk_update()`, in the second batch",
    seen="statement",
    seen_by_rule="queryset",
    goes_by_rule="table",
)
def bulk_update_half(world: World) -> None:
    items = list(world.objects(Item).filter(pk__in=[world.item.pk, world.loose.pk]).order_by("pk"))
    for item in items:
        item.number = 2
    with failing(world, 'UPDATE "testapp_item" SET "number"', 1):
        world.objects(Item).bulk_update(items, ["number"], batch_size=1)


@section.way("`executemany`, in the second row", seen="statement", goes="table")
def executemany_half(world: World) -> None:
    sql = "UPDATE testapp_item SET number = %s WHERE id = %s"
    rows = [(2, world.item.pk), (2, object())]
    with (
        transaction.atomic(using=world.alias),
        connections[world.alias].cursor() as cursor,
        pytest.raises(DatabaseError),
    ):
        cursor.executemany(sql, rows)


@section.way(
    "`delete()`, after what hangs on the row",
    seen="statement",
    changes={"many_to_many", "many_to_many_reverse", "through", "generic"},
)
def delete_half(world: World) -> None:
    with failing(world, 'DELETE FROM "testapp_item" '):
        world.item.delete()


@section.way(
    "`item.labels.set()`, between what it removes and what it adds",
    seen="statement",
    goes="relation",
    goes_by_rule="relations",
    changes={"many_to_many", "many_to_many_reverse"},
)
def set_half(world: World) -> None:
    with failing(world, "INSERT"):
        world.item.labels.set([world.spare_label])
