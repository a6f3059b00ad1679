"""Saving one row."""

import json
import tempfile
from pathlib import Path

from asgiref.sync import async_to_sync
from django.core import serializers
from django.core.management import call_command
from django.db import transaction
from django.db.models import F

from tests.coverage_matrix.admin import post
from tests.coverage_matrix.ways import DELETED, SPECIAL, UPDATED, VALUES, Section
from tests.coverage_matrix.world import World
from tests.testapp.matrix import Item, ItemProxy, SpecialItem

section = Section("Saving one row")


@section.way("`save()` of a new row", seen="save", target="new", changes=VALUES)
def save_new(world: World) -> None:
    world.new("new").save(using=world.alias)


@section.way("`save()` of a row that is there", seen="save")
def save(world: World) -> None:
    world.item.name = "written"
    world.item.number = 2
    world.item.save()


@section.way("`save(update_fields=[…])`", seen="save", changes=UPDATED - {"aggregate"})
def save_fields(world: World) -> None:
    world.item.name = "written"
    world.item.save(update_fields=["name"])


@section.way("`save()` that moves a row to another category", seen="save")
def save_moved(world: World) -> None:
    world.item.topic = world.topic_of_other
    world.item.save()


@section.way("`save()` with an `F()`", seen="save")
def save_f(world: World) -> None:
    world.item.number = F("number") + 1
    world.item.save()


@section.way("`save()` of what `in_bulk` returned", seen="save")
def save_in_bulk(world: World) -> None:
    for item in world.objects(Item).in_bulk([world.item.pk, world.loose.pk]).values():
        item.number += 1
        item.save()


@section.way("`save()` of what `select_for_update` returned", seen="save")
def save_locked(world: World) -> None:
    with transaction.atomic(using=world.alias):
        item = world.objects(Item).select_for_update().get(pk=world.item.pk)
        item.number += 1
        item.save()


@section.way("`save()` in another database, `using=…`", seen="save", second=True)
def save_using(world: World) -> None:
    item = Item.objects.using(world.alias).get(pk=world.item.pk)
    item.number += 1
    item.save(using=world.alias)


@section.way("`create()`", seen="save", target="new", changes=VALUES)
def create(world: World) -> None:
    world.objects(Item).create(code="new", name="new", topic=world.topic)


@section.way("`create()` of a related manager", seen="save", target="new", changes=VALUES)
def create_related(world: World) -> None:
    world.topic.items.create(code="new", name="new")


@section.way("`get_or_create()`", seen="save", target="new", changes=VALUES)
def get_or_create(world: World) -> None:
    values = {"name": "new", "topic": world.topic}
    world.objects(Item).get_or_create(code="new", defaults=values)


@section.way("`update_or_create()` that creates", seen="save", target="new", changes=VALUES)
def update_or_create_new(world: World) -> None:
    values = {"name": "new", "topic": world.topic}
    world.objects(Item).update_or_create(code="new", defaults=values)


@section.way("`update_or_create()` that updates", seen="save")
def update_or_create(world: World) -> None:
    world.objects(Item).update_or_create(code="item", defaults={"name": "written", "number": 2})


@section.way("`asave()`", seen="save")
def asave(world: World) -> None:
    world.item.number = 2
    async_to_sync(world.item.asave)()


@section.way("`acreate()`", seen="save", target="new", changes=VALUES)
def acreate(world: World) -> None:
    async_to_sync(world.objects(Item).acreate)(code="new", name="new", topic=world.topic)


@section.way("`aget_or_create()`", seen="save", target="new", changes=VALUES)
def aget_or_create(world: World) -> None:
    values = {"name": "new", "topic": world.topic}
    async_to_sync(world.objects(Item).aget_or_create)(code="new", defaults=values)


@section.way("`aupdate_or_create()`", seen="save")
def aupdate_or_create(world: World) -> None:
    values = {"name": "written", "number": 2}
    async_to_sync(world.objects(Item).aupdate_or_create)(code="item", defaults=values)


@section.way("`save()` of a proxy", seen="save")
def save_proxy(world: World) -> None:
    item = world.objects(ItemProxy).get(pk=world.item.pk)
    item.number += 1
    item.save()


@section.way("`create()` of a multi-table child", seen="save", target="new", changes=SPECIAL)
def create_child(world: World) -> None:
    world.objects(SpecialItem).create(code="new", name="new", topic=world.topic, extra="new")


@section.way("`save()` of a multi-table child", seen="save", target="special", changes=SPECIAL)
def save_child(world: World) -> None:
    world.special.number = 2
    world.special.extra = "written"
    world.special.save()


@section.way(
    "`save()` of the parent of a multi-table child", seen="save", target="special", changes=SPECIAL
)
def save_parent(world: World) -> None:
    item = world.objects(Item).get(pk=world.special.pk)
    item.number += 1
    item.save()


@section.way("A form of the admin", seen="save")
def admin_change(world: World) -> None:
    # The form looks for other items with that code in the default database.
    code = f"written in {world.alias}"
    values = {"code": code, "name": "written", "number": "2", "labels": [world.label.pk]}
    keys = {name: getattr(world.item, f"{name}_id") for name in ("topic", "shelf", "box")}
    post(f"/{world.alias}/testapp/item/{world.item.pk}/change/", {**values, **keys})


@section.way("The admin deletes a row", seen="statement", seen_by_rule="signal", changes=DELETED)
def admin_delete(world: World) -> None:
    post(f"/{world.alias}/testapp/item/{world.item.pk}/delete/", {"post": "yes"})


@section.way("A fixture, `loaddata`", seen="save")
def loaddata(world: World) -> None:
    (row,) = json.loads(serializers.serialize("json", [world.item]))
    row["fields"] |= {"name": "written", "number": 2}
    with tempfile.TemporaryDirectory() as directory:
        fixture = Path(directory) / "items.json"
        fixture.write_text(json.dumps([row]))
        call_command("loaddata", fixture, database=world.alias, verbosity=0)
