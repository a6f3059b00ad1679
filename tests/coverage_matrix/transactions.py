"""Transactions and savepoints that are rolled back, and those that are not."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections, transaction

from tests.coverage_matrix.ways import AUTOCOMMIT, Section
from tests.coverage_matrix.world import World
from tests.testapp.matrix import Item

section = Section("Rolled back, or ended by hand")


def write(world: World, number: int = 1) -> None:
    world.item.name, world.item.number = "written", number
    world.item.save()
    world.objects(Item).filter(pk=world.loose.pk).update(number=9)


@section.way("A savepoint that is kept", seen="save")
def savepoint(world: World) -> None:
    with transaction.atomic(using=world.alias), transaction.atomic(using=world.alias):
        world.item.number = 2
        world.item.save()


@section.way("A transaction that is rolled back", seen="save", goes="nothing", changes=())
def rolled_back(world: World) -> None:
    with world.undone():
        write(world)


@section.way("A savepoint that is rolled back", seen="save", goes="nothing", changes=())
def savepoint_rolled_back(world: World) -> None:
    with transaction.atomic(using=world.alias):
        rolled_back(world)


@section.way("A savepoint that is rolled back, between writes that are not", seen="save")
def savepoint_between(world: World) -> None:
    with transaction.atomic(using=world.alias):
        world.item.number = 2
        world.item.save(update_fields=["number"])
        rolled_back(world)
        world.item.number = 3
        world.item.save(update_fields=["number"])


@section.way(
    "`bulk_update()` in a savepoint, `update()` in one that is rolled back",
    seen="statement",
    seen_by_rule="queryset",
)
def savepoints_of_statements(world: World) -> None:
    with transaction.atomic(using=world.alias):
        world.item.number = 2
        world.objects(Item).bulk_update([world.item], ["number"])
        with world.undone():
            world.objects(Item).filter(code="loose").update(number=9)


@contextmanager
def by_hand(world: World) -> Iterator[None]:
    """Let the block end a transaction of its own, with autocommit off."""
    transaction.set_autocommit(False, using=world.alias)
    try:
        yield
    finally:
        transaction.set_autocommit(True, using=world.alias)


@section.way("`set_autocommit(False)`, `commit()`", seen="save", modes=AUTOCOMMIT)
def committed_by_hand(world: World) -> None:
    with by_hand(world):
        write(world, number=2)
        transaction.commit(using=world.alias)


@section.way(
    "`set_autocommit(False)`, `rollback()`",
    seen="save",
    goes="nothing",
    changes=(),
    modes=AUTOCOMMIT,
)
def rolled_back_by_hand(world: World) -> None:
    with by_hand(world):
        write(world)
        transaction.rollback(using=world.alias)


@section.way("`set_autocommit(False)`, `atomic()`, `commit()`", seen="save", modes=AUTOCOMMIT)
def block_by_hand(world: World) -> None:
    with by_hand(world):
        with transaction.atomic(using=world.alias):
            write(world, number=2)
        transaction.commit(using=world.alias)


@section.way(
    "`set_autocommit(False)`, `atomic()`, `rollback()`",
    seen="save",
    goes="nothing",
    changes=(),
    modes=AUTOCOMMIT,
    databases=("PostgreSQL",),
)
def block_rolled_back_by_hand(world: World) -> None:
    with by_hand(world):
        with transaction.atomic(using=world.alias):
            write(world)
        transaction.rollback(using=world.alias)


@section.way(
    "`set_autocommit(False)`, `atomic()`, `rollback()`: the block is committed",
    seen="save",
    modes=AUTOCOMMIT,
    databases=("SQLite",),
)
def block_kept_by_sqlite(world: World) -> None:
    with by_hand(world):
        with transaction.atomic(using=world.alias):
            write(world, number=2)
        transaction.rollback(using=world.alias)


@section.way("`savepoint()`, `savepoint_rollback()`", seen="save", goes="row", changes=())
def savepoint_by_hand(world: World) -> None:
    with transaction.atomic(using=world.alias):
        sid = connections[world.alias].savepoint()
        assert sid is not None
        world.item.number = 2
        world.item.save()
        transaction.savepoint_rollback(sid, using=world.alias)
