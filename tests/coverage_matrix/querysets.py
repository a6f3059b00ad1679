"""Writing many rows."""

from asgiref.sync import async_to_sync
from django.db.models import F, Value
from django.db.models.functions import Concat

from tests.coverage_matrix.ways import SPECIAL, VALUES, But, Section
from tests.coverage_matrix.world import World
from tests.testapp.matrix import Item, ItemProxy, SpecialItem

section = Section("Writing many rows")


@section.way("`update()` of rows by primary key", seen="statement", seen_by_rule="queryset")
def update(world: World) -> None:
    world.objects(Item).filter(pk=world.item.pk).update(number=2, name="written")


@section.way(
    "`update()` of rows by several primary keys", seen="statement", seen_by_rule="queryset"
)
def update_in(world: World) -> None:
    world.objects(Item).filter(pk__in=[world.item.pk, world.loose.pk]).update(number=2)


@section.way(
    "`update()` of rows by anything else",
    seen="statement",
    goes="table",
    seen_by_rule="queryset",
    goes_by_rule="row",
)
def update_by_value(world: World) -> None:
    world.objects(Item).filter(name="item").update(number=2)


@section.way(
    "`update()` of rows by a related row",
    seen="statement",
    goes="table",
)
def update_by_relation(world: World) -> None:
    world.objects(Item).filter(topic__name="1").update(number=2)


@section.way("`update()` with an `F()`", seen="statement", seen_by_rule="queryset")
def update_f(world: World) -> None:
    world.objects(Item).filter(pk=world.item.pk).update(
        number=F("number") + 1, name=Concat("name", Value("!"))
    )


@section.way(
    "`update()` that moves rows to another category", seen="statement", seen_by_rule="queryset"
)
def update_moved(world: World) -> None:
    world.objects(Item).filter(pk=world.item.pk).update(topic=world.topic_of_other)


@section.way(
    "`update()` that finds nothing",
    seen="statement",
    goes="nothing",
    but=(But(goes="table", atomic=False, rule=False),),
    changes=(),
)
def update_nothing(world: World) -> None:
    assert world.objects(Item).filter(name="nobody").update(number=2) == 0


@section.way(
    "`update()` in another database, `using(…)`",
    seen="statement",
    seen_by_rule="queryset",
    second=True,
)
def update_using(world: World) -> None:
    Item.objects.using(world.alias).filter(pk=world.item.pk).update(number=2)


@section.way("`update()` of a proxy", seen="statement", seen_by_rule="queryset")
def update_proxy(world: World) -> None:
    world.objects(ItemProxy).filter(pk=world.item.pk).update(number=2)


@section.way(
    "`update()` of a multi-table child",
    seen="statement",
    seen_by_rule="queryset",
    target="special",
    changes=SPECIAL,
)
def update_child(world: World) -> None:
    world.objects(SpecialItem).filter(pk=world.special.pk).update(number=2, extra="written")


@section.way(
    "`update()` of the parent of a multi-table child",
    seen="statement",
    seen_by_rule="queryset",
    target="special",
    changes=SPECIAL,
)
def update_parent(world: World) -> None:
    world.objects(Item).filter(pk=world.special.pk).update(number=2)


@section.way("`aupdate()`", seen="statement", seen_by_rule="queryset")
def aupdate(world: World) -> None:
    async_to_sync(world.objects(Item).filter(pk=world.item.pk).aupdate)(number=2)


@section.way("`bulk_create()`", seen="queryset", target="new", changes=VALUES)
def bulk_create(world: World) -> None:
    world.objects(Item).bulk_create([world.new("new"), world.new("newer")])


@section.way(
    "`bulk_create(ignore_conflicts=True)`",
    seen="statement",
    goes="table",
    seen_by_rule="queryset",
    goes_by_rule="rows",
    target="new",
    changes=VALUES - {"row"},
)
def bulk_create_ignoring(world: World) -> None:
    new = [world.new("item", number=9), world.new("new")]
    world.objects(Item).bulk_create(new, ignore_conflicts=True)


@section.way("`bulk_create(update_conflicts=True)`", seen="queryset", goes="table")
def bulk_create_updating(world: World) -> None:
    world.objects(Item).bulk_create(
        [world.new("item", number=2)],
        update_conflicts=True,
        unique_fields=["code"],
        update_fields=["number", "name"],
    )


@section.way(
    '`bulk_create(update_conflicts=True, unique_fields=["id"])`',
    seen="queryset",
    goes_by_rule="table",
)
def bulk_create_updating_by_key(world: World) -> None:
    world.objects(Item).bulk_create(
        [world.new("item", pk=world.item.pk, number=2)],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["number", "name"],
    )


@section.way("`abulk_create()`", seen="queryset", target="new", changes=VALUES)
def abulk_create(world: World) -> None:
    async_to_sync(world.objects(Item).abulk_create)([world.new("new")])


@section.way("`bulk_update()`", seen="statement", seen_by_rule="queryset")
def bulk_update(world: World) -> None:
    items = list(world.objects(Item).filter(topic=world.topic))
    for item in items:
        item.number += 1
    world.objects(Item).bulk_update(items, ["number"])


@section.way("`abulk_update()`", seen="statement", seen_by_rule="queryset")
def abulk_update(world: World) -> None:
    world.item.number = 2
    async_to_sync(world.objects(Item).abulk_update)([world.item], ["number"])
