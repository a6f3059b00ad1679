"""Without a rule that looks at values, Django sends the statements that it sends without the app.

Each operation is run twice on the same rows, and what has been sent is compared. All that may be
added is a transaction around a save, or a `bulk_create()`, that has none, as is documented.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import django
import pytest
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.core import serializers
from django.db import transaction
from django.db.models import F, ProtectedError, RestrictedError

from cache_invalidation import ModelInvalidation, no_invalidation, registry
from cache_invalidation.rules.rule import Rule
from tests.cursors import execute
from tests.testapp.matrix import Box, Item, Label, Note, Shelf, Topic
from tests.testapp.models import Place, Restaurant, Tag, Voucher
from tests.testapp.related import Article, BestPal, Essay, Held, Pal, PalProxy, PalTag, Volume
from tests.testapp.unusual import Club, Composite, Diner, Member, Person, Shop
from tests.uninstalled import differences, sent, uninstalled

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])

# Whoever refers to others comes before them.
MODELS: list[Any] = [
    *(Held, PalTag, Pal.friends.through, Pal.follows.through, Pal.restaurants.through),
    *(Pal.vouchers.through, BestPal, Pal, Diner, Shop, Restaurant, Place, Essay, Volume, Article),
    *(Note, Item.labels.through, Item, Topic, Shelf, Box, Label, Member, Club, Person),
    *(Composite, Voucher, Tag, User.groups.through, User.user_permissions.through),
    *(Group.permissions.through, Group, User),
]

# Of the operations, each a test of its own: a single one would take too long.
PARTS = 6

World = SimpleNamespace
Act = Callable[[World], Any]


class NamesRows(ModelInvalidation):
    """A rule, but none that looks at anything but the primary key."""

    tags = ["page:{pk}", "all-pages"]


def make(using: str) -> World:
    """Make the same rows each time."""
    with no_invalidation(), transaction.atomic(using=using):
        for model in MODELS:
            execute(using, f'DELETE FROM "{model._meta.db_table}"')

        def create(model: Any, **values: Any) -> Any:
            return model.objects.using(using).create(**values)

        world = World(
            using=using,
            of=lambda model: model.objects.using(using),
            a=create(Pal, pk=900011, name="a"),
            b=create(Pal, pk=900012, name="b"),
            best=create(BestPal, pk=900013, name="c"),
            restaurant=create(Restaurant, pk=900021, name="r"),
            diner=create(Diner, pk=900022, name="d"),
            shop=create(Shop, id=900023, code="s", name="s"),
            essay=create(Essay, volume_id=900031, article_id=900041, title="t", headline="h"),
            voucher=create(Voucher, pk="00000000-0000-0000-0000-000000000001", code="v"),
            tag=create(Tag, pk=900051, name="t"),
            topic=create(Topic, pk=900061, name="t"),
            shelf=create(Shelf, pk=900062, name="s"),
            box=create(Box, pk=1, name="b"),
            label=create(Label, pk=900064, name="l"),
            club=create(Club, pk=900071, name="c"),
            person=create(Person, pk=900072, code="p"),
        )
        world.item = create(
            Item, pk=900063, code="i", name="i", topic=world.topic, shelf=world.shelf
        )
        world.item.labels.add(world.label)
        world.a.follows.add(world.b)
        world.a.friends.add(world.best)
        world.a.tags.add(world.tag)
        world.club.members.add(world.person)
    return world


# Up to 6.0, Django itself has a transaction around each; then where some rows have keys only.
BULK_BEGINS = int(django.VERSION >= (6, 1))


@dataclass(frozen=True)
class Operation:
    """`begins` is how many transactions it may get that it does not have by itself."""

    name: str
    act: Act
    begins: int = 0


def fails(error: Any, act: Act) -> Act:
    def expect(world: World) -> None:
        with pytest.raises(error):
            act(world)

    return expect


def nested(world: World) -> None:
    with transaction.atomic(using=world.using):
        world.a.save()
        with transaction.atomic(using=world.using):
            world.b.save()
        try:
            with transaction.atomic(using=world.using):
                world.a.tags.clear()
                raise KeyError
        except KeyError:
            pass


def locked(world: World) -> None:
    with transaction.atomic(using=world.using):
        row = world.of(Pal).select_for_update().get(pk=900011)
        row.save(update_fields=["name"])


def from_a_fixture(world: World) -> None:
    fixture = [
        {
            "model": "testapp.pal",
            "pk": 900018,
            "fields": {"name": "n", "follows": [900011], "friends": []},
        },
        {"model": "testapp.bestpal", "pk": 900018, "fields": {"since": 1}},
        {"model": "testapp.shop", "pk": "z", "fields": {"place_link": 900021}},
    ]
    for row in serializers.deserialize("json", json.dumps(fixture), using=world.using):
        row.save(using=world.using)


OPERATIONS = [
    Operation("save", lambda w: w.a.save(), 1),
    Operation("save of a new row", lambda w: Pal(name="n").save(using=w.using), 1),
    Operation("save with a key", lambda w: Pal(pk=900019, name="n").save(using=w.using), 1),
    Operation("save of fields", lambda w: w.a.save(update_fields=["name"]), 1),
    Operation("save of no field", lambda w: w.a.save(update_fields=[])),
    Operation("save that inserts", lambda w: w.of(Pal).create(pk=900019, name="n"), 1),
    Operation("save of a UUID", lambda w: w.of(Voucher).create(code="n"), 1),
    Operation("save of a proxy", lambda w: w.of(PalProxy).get(pk=900011).save(), 1),
    Operation("save of a composite key", lambda w: w.of(Composite).create(tenant=1), 1),
    Operation("save of a child", lambda w: w.restaurant.save()),
    Operation("save of a new child", lambda w: w.of(Restaurant).create(name="n")),
    Operation("save of a grandchild", lambda w: w.diner.save()),
    Operation("save of a parent", lambda w: w.of(Place).get(pk=900021).save(), 1),
    Operation("save of a new parent", lambda w: w.of(Place).create(name="n"), 1),
    Operation("save of a child with a key of its own", lambda w: w.shop.save()),
    Operation("save of a child of two", lambda w: w.essay.save()),
    Operation("save of a new child of two", lambda w: w.of(Essay).create(title="n", headline="n")),
    Operation("save of its second parent", lambda w: w.of(Article).get(pk=900041).save(), 1),
    Operation("save of its new second parent", lambda w: w.of(Article).create(headline="n"), 1),
    Operation("get_or_create", lambda w: w.of(Tag).get_or_create(name="n")),
    Operation("get_or_create of what is there", lambda w: w.of(Tag).get_or_create(name="t")),
    Operation("update_or_create", lambda w: w.of(Tag).update_or_create(name="n")),
    Operation(
        "update_or_create of what is there",
        lambda w: w.of(Tag).update_or_create(name="t", defaults={"name": "u"}),
    ),
    Operation(
        "bulk_create",
        lambda w: w.of(Pal).bulk_create([Pal(name="n"), Pal(name="o")]),
        begins=BULK_BEGINS,
    ),
    Operation(
        "bulk_create of some with keys",
        lambda w: w.of(Pal).bulk_create([Pal(pk=900019, name="n"), Pal(name="o")]),
    ),
    Operation(
        "bulk_create in batches",
        lambda w: w.of(Pal).bulk_create([Pal(name=n) for n in "nopq"], batch_size=2),
    ),
    Operation(
        "bulk_create that ignores conflicts",
        lambda w: w.of(Pal).bulk_create([Pal(pk=900011, name="n")], ignore_conflicts=True),
    ),
    Operation(
        "bulk_create that updates conflicts",
        lambda w: w.of(Pal).bulk_create(
            [Pal(pk=900011, name="n")],
            update_conflicts=True,
            unique_fields=["pk"],
            update_fields=["name"],
        ),
        begins=BULK_BEGINS,
    ),
    Operation("bulk_create of nothing", lambda w: w.of(Pal).bulk_create([])),
    Operation(
        "bulk_create of parents",
        lambda w: w.of(Article).bulk_create([Article(headline="")]),
        begins=BULK_BEGINS,
    ),
    Operation("bulk_update", lambda w: w.of(Pal).bulk_update([w.a, w.b], ["name"])),
    Operation("update", lambda w: w.of(Pal).filter(name="a").update(name="n")),
    Operation("update by key", lambda w: w.of(Pal).filter(pk=900011).update(name=F("name"))),
    Operation("update of nothing", lambda w: w.of(Pal).none().update(name="n")),
    Operation("update of a child", lambda w: w.of(Restaurant).filter(name="r").update(city="n")),
    Operation("update of a parent", lambda w: w.of(Place).filter(name="s").update(city="n")),
    Operation("update of children with other keys", lambda w: w.of(Shop).update(city="n")),
    Operation("update of a child of two", lambda w: w.of(Essay).update(title="n", headline="n")),
    Operation("update of its second parent", lambda w: w.of(Article).update(headline="n")),
    Operation("delete", lambda w: w.tag.delete()),
    Operation("delete, with relations", lambda w: w.a.delete()),
    Operation("delete of a queryset", lambda w: w.of(Pal).filter(name="b").delete()),
    Operation("delete of what nothing hangs on", lambda w: w.of(PalTag).all().delete()),
    Operation("delete of one that nothing hangs on", lambda w: w.of(PalTag).get().delete()),
    Operation("delete of a child", lambda w: w.diner.delete()),
    Operation("delete of a child alone", lambda w: w.restaurant.delete(keep_parents=True)),
    Operation("delete of a parent", lambda w: w.of(Place).get(pk=900021).delete()),
    Operation("delete of parents", lambda w: w.of(Place).all().delete()),
    Operation("delete of a child with a key of its own", lambda w: w.shop.delete()),
    Operation("delete of a child of two", lambda w: w.essay.delete()),
    Operation("delete of its second parents", lambda w: w.of(Article).all().delete()),
    Operation("a cascade", lambda w: w.topic.delete()),
    Operation("SET_NULL", lambda w: w.shelf.delete()),
    Operation("SET_DEFAULT", lambda w: w.of(Box).create(pk=2, name="n").delete(), 1),
    Operation(
        "PROTECT", fails(ProtectedError, lambda w: [w.of(Held).create(pal=w.b), w.b.delete()]), 1
    ),
    Operation(
        "RESTRICT",
        fails(
            RestrictedError, lambda w: [w.of(Held).create(voucher=w.voucher), w.voucher.delete()]
        ),
        1,
    ),
    Operation("add", lambda w: w.a.restaurants.add(w.restaurant, w.diner)),
    Operation("add of what is there", lambda w: w.a.follows.add(w.b)),
    Operation("add both ways", lambda w: w.a.friends.add(w.b)),
    Operation("add from the other end", lambda w: w.tag.pals.add(w.b)),
    Operation(
        "add with more values", lambda w: w.b.tags.add(900051, through_defaults={"weight": 2})
    ),
    Operation("add through a model", lambda w: w.club.members.add(w.person)),
    Operation("remove", lambda w: w.a.follows.remove(w.b)),
    Operation("remove both ways", lambda w: w.a.friends.remove(w.best)),
    Operation("remove through a model", lambda w: w.club.members.remove(w.person)),
    Operation("set", lambda w: w.a.follows.set([w.best])),
    Operation("set, cleared before", lambda w: w.a.follows.set([w.best], clear=True)),
    Operation("set from the other end", lambda w: w.b.followers.set([w.best])),
    Operation("set through a model", lambda w: w.club.members.set([])),
    Operation("clear", lambda w: w.a.follows.clear()),
    Operation("clear both ways", lambda w: w.a.friends.clear()),
    Operation("clear from the other end", lambda w: w.label.items.clear()),
    Operation("clear through a model", lambda w: w.person.clubs.clear()),
    Operation("create at the other end", lambda w: w.a.follows.create(name="n"), 1),
    Operation("a generic relation", lambda w: w.item.notes.create(text="n"), 1),
    Operation("a generic relation that is cleared", lambda w: w.item.notes.clear()),
    Operation("a foreign key, add", lambda w: w.topic.items.add(w.item)),
    Operation("a foreign key, clear", lambda w: w.shelf.items.clear()),
    Operation("nested blocks", nested),
    Operation("a lock", locked),
    Operation("a fixture", from_a_fixture, 1),
    Operation("SQL", lambda w: execute(w.using, "UPDATE testapp_pal SET name = 'n'")),
    Operation(
        "SQL that names rows",
        lambda w: execute(w.using, "DELETE FROM testapp_pal_follows WHERE from_pal_id = 900011"),
    ),
]


@contextmanager
def rules() -> Iterator[None]:
    """Give all models a rule that looks at no values."""
    rules = {model: Rule(NamesRows(model)) for model in MODELS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_rules", rules)
        registry.rules_changed()
        yield
    registry.rules_changed()


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("using", ["default", "sqlite"])
def test_no_statement_is_added_and_none_is_another(using: str, part: int) -> None:
    ContentType.objects.db_manager(using).get_for_model(Item)
    wrong: list[str] = []
    for operation in OPERATIONS[part::PARTS]:
        with uninstalled():
            world = make(using)
            expected = sent(using, lambda: operation.act(world))  # noqa: B023
        for rule in (nullcontext, rules):
            world = make(using)
            with rule():
                found = sent(using, lambda: operation.act(world))  # noqa: B023
            wrong += differences(operation.name, found, expected, operation.begins)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("using", ["default", "sqlite"])
def test_in_a_transaction_none_is_begun_either(using: str, part: int) -> None:
    ContentType.objects.db_manager(using).get_for_model(Item)
    wrong: list[str] = []
    for operation in OPERATIONS[part::PARTS]:
        with uninstalled():
            world = make(using)
            expected = sent(using, lambda: operation.act(world), atomic=True)  # noqa: B023
        world = make(using)
        found = sent(using, lambda: operation.act(world), atomic=True)  # noqa: B023
        wrong += differences(operation.name, found, expected, 0)
    assert not wrong, "\n".join(wrong)
