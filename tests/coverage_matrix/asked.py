"""Writes in the middle of which the project asks for what is cached."""

from tests.coverage_matrix.ways import DELETED, LABELED, SPECIAL, Section
from tests.coverage_matrix.world import World
from tests.moments import listening
from tests.testapp.matrix import Item, SpecialItem

section = Section(
    "Asked in the middle",
    "Receivers of signals, and the `pre_save` of a field, call cached functions between the\n"
    "statements of a write: they see what is written so far, and nothing of it is stored.",
    few=True,
)


@section.way("`save()`, in `pre_save` and `post_save`", seen="save")
def asked_in_save(world: World) -> None:
    world.item.number = 2
    with listening(world.ask):
        world.item.save()


@section.way(
    "`create()` of a multi-table child, in the `pre_save` of its field",
    seen="save",
    target="new",
    changes=SPECIAL,
)
def asked_in_create_of_child(world: World) -> None:
    with listening(world.ask):
        world.objects(SpecialItem).create(code="new", name="new", topic=world.topic)


@section.way(
    "`save()` of a multi-table child, in the `pre_save` of its field",
    seen="save",
    target="special",
    changes=SPECIAL,
)
def asked_in_save_of_child(world: World) -> None:
    world.special.number = 2
    with listening(world.ask):
        world.special.save()


@section.way("The same, rolled back", seen="save", goes="nothing", target="special", changes=())
def asked_in_save_rolled_back(world: World) -> None:
    with world.undone():
        asked_in_save_of_child(world)


@section.way(
    "`delete()`, in `pre_delete` and `post_delete`",
    seen="statement",
    seen_by_rule="signal",
    changes=DELETED,
)
def asked_in_delete(world: World) -> None:
    with listening(world.ask):
        world.item.delete()


@section.way(
    "`item.labels.set()`, in `m2m_changed`",
    seen="statement",
    goes="relation",
    goes_by_rule="relations",
    changes=LABELED,
)
def asked_in_set(world: World) -> None:
    with listening(world.ask):
        world.item.labels.set([world.spare_label])


@section.way("`update_or_create()`, in `pre_save` and `post_save`", seen="save")
def asked_in_update_or_create(world: World) -> None:
    with listening(world.ask):
        world.objects(Item).update_or_create(code="item", defaults={"number": 2})
