"""Deleting rows, and what goes with them."""

from asgiref.sync import async_to_sync

from tests.coverage_matrix.ways import DELETED, SPECIAL, VALUES, Section
from tests.coverage_matrix.world import World
from tests.testapp.matrix import Item, ItemProxy, Pick

section = Section("Deleting")
TWIGS = {"twig_row", "twig_rows", "twig_aggregate", "twig_join", "twig_many_to_many"}


@section.way("`delete()`", seen="statement", seen_by_rule="signal", changes=DELETED)
def delete(world: World) -> None:
    world.item.delete()


@section.way("`delete()` of a queryset", seen="statement", seen_by_rule="signal", changes=DELETED)
def delete_queryset(world: World) -> None:
    world.objects(Item).filter(code="item").delete()


@section.way("`adelete()`", seen="statement", seen_by_rule="signal", changes=DELETED)
def adelete(world: World) -> None:
    async_to_sync(world.item.adelete)()


@section.way("`adelete()` of a queryset", seen="statement", seen_by_rule="signal", changes=DELETED)
def adelete_queryset(world: World) -> None:
    async_to_sync(world.objects(Item).filter(code="item").adelete)()


@section.way(
    "`delete()` of a queryset, rows of which nothing hangs",
    seen="statement",
    goes="row",
    changes={"through"},
)
def delete_fast(world: World) -> None:
    world.objects(Pick).filter(stars=1).delete()


@section.way("`_raw_delete()` by primary key", seen="statement", target="loose", changes=VALUES)
def raw_delete(world: World) -> None:
    world.objects(Item).filter(pk=world.loose.pk)._raw_delete(world.alias)


@section.way(
    "`_raw_delete()` by anything else",
    seen="statement",
    goes="table",
    target="loose",
    changes=VALUES,
)
def raw_delete_by_value(world: World) -> None:
    world.objects(Item).filter(code="loose")._raw_delete(world.alias)


@section.way("`delete()` of a proxy", seen="statement", seen_by_rule="signal", changes=DELETED)
def delete_proxy(world: World) -> None:
    world.objects(ItemProxy).get(pk=world.item.pk).delete()


@section.way(
    "`delete()` of a multi-table child",
    seen="statement",
    seen_by_rule="signal",
    target="special",
    changes=SPECIAL,
)
def delete_child(world: World) -> None:
    world.special.delete()


@section.way(
    "`delete()` of a multi-table child that keeps its parent",
    seen="statement",
    seen_by_rule="signal",
    target="special",
    changes={"child"},
)
def delete_child_alone(world: World) -> None:
    world.special.delete(keep_parents=True)


@section.way(
    "`delete()` of the parent of a multi-table child",
    seen="statement",
    seen_by_rule="signal",
    target="special",
    changes=SPECIAL,
)
def delete_parent(world: World) -> None:
    world.objects(Item).get(pk=world.special.pk).delete()


@section.way("`CASCADE`", seen="statement", seen_by_rule="signal", changes=DELETED)
def cascade(world: World) -> None:
    world.topic.delete()


@section.way(
    "`SET_NULL`", seen="statement", goes="table", seen_by_rule="queryset", goes_by_rule="row"
)
def set_null(world: World) -> None:
    world.shelf.delete()


@section.way("`SET_DEFAULT`", seen="statement")
def set_default(world: World) -> None:
    world.box.delete()


@section.way(
    "`DB_CASCADE`", seen="statement", goes="table", target="twig", changes=TWIGS, since=(6, 1)
)
def db_cascade(world: World) -> None:
    world.branch.delete()


@section.way(
    "`DB_CASCADE`, `delete()` of a queryset",
    seen="statement",
    goes="table",
    target="twig",
    changes=TWIGS,
    since=(6, 1),
)
def db_cascade_queryset(world: World) -> None:
    world.objects(type(world.branch)).filter(name="1").delete()
