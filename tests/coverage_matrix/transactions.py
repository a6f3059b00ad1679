"""Transactions and savepoints that are rolled back, and those that are not."""

from django.db import transaction

from tests.coverage_matrix.ways import Section
from tests.coverage_matrix.world import World
from tests.testapp.matrix import Item

section = Section("Rolled back")


class RolledBackError(Exception):
    pass


def write(world: World) -> None:
    world.item.name = "written"
    world.item.save()
    world.objects(Item).filter(code="loose").update(number=9)


@section.way("A savepoint that is kept", seen="save")
def savepoint(world: World) -> None:
    with transaction.atomic(using=world.alias), transaction.atomic(using=world.alias):
        world.item.number = 2
        world.item.save()


@section.way("A transaction that is rolled back", seen="save", goes="nothing", changes=())
def rolled_back(world: World) -> None:
    try:
        with transaction.atomic(using=world.alias):
            write(world)
            raise RolledBackError
    except RolledBackError:
        pass


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
        try:
            with transaction.atomic(using=world.alias):
                world.objects(Item).filter(code="loose").update(number=9)
                raise RolledBackError
        except RolledBackError:
            pass
