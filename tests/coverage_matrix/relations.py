"""Relations: many-to-many from both sides, through a model of its own, generic, foreign keys."""

from asgiref.sync import async_to_sync

from tests.coverage_matrix.ways import LABELED, UPDATED, Section
from tests.coverage_matrix.world import World
from tests.cursors import execute
from tests.testapp.matrix import Note, Pick

section = Section(
    "Relations",
    "What goes of a many-to-many relation is what was looked up by one of its rows, from either\n"
    "end. What was read through a generic relation depends on all of its table.",
)


@section.way("`item.labels.add()`", seen="statement", goes="relation", changes=LABELED)
def add(world: World) -> None:
    world.item.labels.add(world.spare_label)


@section.way(
    "`item.labels.add()` of what is there",
    seen="statement",
    goes="nothing",
    changes=(),
)
def add_again(world: World) -> None:
    world.item.labels.add(world.label)


@section.way("`item.labels.remove()`", seen="statement", goes="relation", changes=LABELED)
def remove(world: World) -> None:
    world.item.labels.remove(world.label)


@section.way("`item.labels.set()`", seen="statement", goes="relation", changes=LABELED)
def set_(world: World) -> None:
    world.item.labels.set([world.spare_label])


@section.way(
    "`item.labels.clear()`",
    seen="statement",
    goes="relation",
    changes=LABELED,
    note="From the other end, of any row.",
)
def clear(world: World) -> None:
    world.item.labels.clear()


@section.way(
    "`item.labels.create()`",
    seen="save",
    seen_by_rule="signal",
    changes={"many_to_many_reverse"},
)
def create_label(world: World) -> None:
    world.item.labels.create(name="new")


@section.way("`label.items.add()`", seen="statement", goes="relation", changes=LABELED)
def reverse_add(world: World) -> None:
    world.spare_label.items.add(world.item)


@section.way("`label.items.remove()`", seen="statement", goes="relation", changes=LABELED)
def reverse_remove(world: World) -> None:
    world.label.items.remove(world.item)


@section.way("`label.items.set()`", seen="statement", goes="relation", changes=LABELED)
def reverse_set(world: World) -> None:
    world.spare_label.items.set([world.item])


@section.way(
    "`label.items.clear()`",
    seen="statement",
    goes="relation",
    changes=LABELED,
    note="From the other end, of any row.",
)
def reverse_clear(world: World) -> None:
    world.label.items.clear()


@section.way("`item.labels.aset()`", seen="statement", goes="relation", changes=LABELED)
def aset(world: World) -> None:
    async_to_sync(world.item.labels.aset)([world.spare_label])


@section.way("`delete()` of a row at the other end", seen="statement", changes=LABELED)
def delete_label(world: World) -> None:
    world.label.delete()


@section.way(
    "SQL that inserts into the table of `item.labels`",
    seen="statement",
    goes="relation",
    changes=LABELED,
)
def insert_relation(world: World) -> None:
    execute(
        world.alias,
        "INSERT INTO testapp_item_labels (item_id, label_id) VALUES (%s, %s)",
        [world.item.pk, world.spare_label.pk],
    )


@section.way(
    "SQL that deletes from the table of `item.labels`",
    seen="statement",
    goes="relation",
    changes=LABELED,
    note="From the end that it does not name, of any row.",
)
def delete_relation(world: World) -> None:
    execute(world.alias, "DELETE FROM testapp_item_labels WHERE item_id = %s", [world.item.pk])


@section.way(
    "`create()` of a row of the table between", seen="save", goes="relation", changes={"through"}
)
def through_create(world: World) -> None:
    world.objects(Pick).create(item=world.item, fan=world.spare_fan)


@section.way(
    "`update()` of rows of the table between",
    seen="statement",
    goes="relation",
    changes={"through"},
)
def through_update(world: World) -> None:
    world.objects(Pick).filter(item=world.item).update(stars=2)


@section.way(
    "`item.fans.add(…, through_defaults=…)`", seen="queryset", goes="relation", changes={"through"}
)
def through_add(world: World) -> None:
    world.item.fans.add(world.spare_fan, through_defaults={"stars": 3})


@section.way("`item.fans.remove()`", seen="statement", goes="relation", changes={"through"})
def through_remove(world: World) -> None:
    world.item.fans.remove(world.fan)


@section.way("`item.fans.set()`", seen="queryset", goes="relation", changes={"through"})
def through_set(world: World) -> None:
    world.item.fans.set([world.spare_fan])


@section.way(
    "`fan.items.clear()`",
    seen="statement",
    goes="relation",
    changes={"through"},
    note="From the other end, of any row.",
)
def through_reverse_clear(world: World) -> None:
    world.fan.items.clear()


@section.way("`item.notes.create()`, a generic relation", seen="save", changes={"generic"})
def generic_create(world: World) -> None:
    world.item.notes.create(text="2")


@section.way("`save()` of a generic relation", seen="save", changes={"generic"})
def generic_save(world: World) -> None:
    world.note.text = "written"
    world.note.save()


@section.way("`item.notes.remove()`, a generic relation", seen="statement", changes={"generic"})
def generic_remove(world: World) -> None:
    world.item.notes.remove(world.note)


@section.way("`item.notes.clear()`, a generic relation", seen="statement", changes={"generic"})
def generic_clear(world: World) -> None:
    world.item.notes.clear()


@section.way("`delete()` of a generic relation", seen="statement", changes={"generic"})
def generic_delete(world: World) -> None:
    world.objects(Note).get(pk=world.note.pk).delete()


@section.way(
    "`topic.items.add()`, a foreign key",
    seen="statement",
    seen_by_rule="queryset",
)
def foreign_key_add(world: World) -> None:
    world.topic_of_other.items.add(world.item)


@section.way("`topic.items.add(bulk=False)`, a foreign key", seen="save")
def foreign_key_add_each(world: World) -> None:
    world.topic_of_other.items.add(world.item, bulk=False)


@section.way(
    "`shelf.items.remove()`, a foreign key",
    seen="statement",
    seen_by_rule="queryset",
)
def foreign_key_remove(world: World) -> None:
    world.shelf.items.remove(world.item)


@section.way(
    "`shelf.items.clear()`, a foreign key",
    seen="statement",
    goes="table",
    seen_by_rule="queryset",
    goes_by_rule="row",
)
def foreign_key_clear(world: World) -> None:
    world.shelf.items.clear()


@section.way(
    "`shelf.items.set()`, a foreign key",
    seen="statement",
    seen_by_rule="queryset",
    changes=UPDATED - {"aggregate"},
)
def foreign_key_set(world: World) -> None:
    world.shelf.items.set([world.loose])
