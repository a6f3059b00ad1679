"""The rows that each cell of the matrix begins with, and what is cached of them."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

from django.contrib.contenttypes.models import ContentType
from django.db import connections, transaction
from django.db.models import Max, Model, QuerySet

from cache_invalidation import no_invalidation
from tests.coverage_matrix import shapes
from tests.coverage_matrix.shapes import Read
from tests.testapp import matrix
from tests.testapp.matrix import (
    Box,
    Bystander,
    Fan,
    Item,
    Label,
    Note,
    Pick,
    Shelf,
    SpecialItem,
    Topic,
)

Target = Literal["item", "loose", "special", "new", "twig"]

# Whoever refers to others comes before them.
MODELS: list[type[Model]] = [
    Note,
    Pick,
    Item.labels.through,
    SpecialItem,
    Item,
    Topic,
    Shelf,
    Box,
    Label,
    Fan,
    Bystander,
]
if matrix.HAS_DB_CASCADE:
    from tests.testapp.matrix import Bird, Branch, Nest, Twig

    MODELS += [Nest, Twig, Bird, Branch]


def clear(alias: str) -> None:
    """Delete what a cell has left behind, which is quicker than emptying every table there is."""
    with no_invalidation(), transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        for model in MODELS:
            cursor.execute(f'DELETE FROM "{model._meta.db_table}"')


class _RolledBackError(Exception):
    pass


class World:
    """An item with all relations, and others: a `loose` one with none, a `special` one.

    With `rule`, items have one. What is written has to do with the first topic alone; `other` and
    `far` are in topics of their own, and what is cached of them should stay.
    """

    def __init__(self, alias: str, *, rule: bool) -> None:
        self.alias = alias
        self.rule = rule
        # What is done in the middle of a write that lets somebody ask.
        self.ask: Callable[[], object] = lambda: None
        ContentType.objects.clear_cache()
        with no_invalidation(), transaction.atomic(using=alias):
            self._make()

    def objects(self, model: type[Any]) -> QuerySet[Any]:
        return model.objects.using(self.alias)  # type: ignore[no-any-return]

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Have the block rolled back by what it raises in the end."""
        with suppress(_RolledBackError), transaction.atomic(using=self.alias):
            yield
            raise _RolledBackError

    def _names(self, model: type[Any], *names: str) -> list[Any]:
        return self.objects(model).bulk_create([model(name=name) for name in names])

    def _make(self) -> None:
        self.topic, self.topic_of_other, self.topic_of_far = self._names(Topic, "1", "2", "3")
        self.shelf, self.other_shelf = self._names(Shelf, "1", "2")
        self.label, self.spare_label, self.other_label = self._names(Label, "1", "2", "3")
        self.fan, self.spare_fan = self._names(Fan, "1", "2")
        (self.bystander,) = self._names(Bystander, "1")
        _, self.box = self.objects(Box).bulk_create([Box(pk=1, name="1"), Box(pk=2, name="2")])
        self.item, self.loose, self.other, self.far = self.objects(Item).bulk_create(
            [
                self.new("item", shelf=self.shelf, box=self.box),
                self.new("loose"),
                self.new("other", topic=self.topic_of_other, shelf=self.other_shelf),
                self.new("far", topic=self.topic_of_far),
            ]
        )
        self.special = self.objects(SpecialItem).create(
            code="special", name="special", topic=self.topic
        )
        self.objects(Item.labels.through).bulk_create(
            Item.labels.through(item=item, label=label)
            for item, label in ((self.item, self.label), (self.other, self.other_label))
        )
        self.objects(Pick).bulk_create([Pick(item=self.item, fan=self.fan)])
        self.content_type = ContentType.objects.db_manager(self.alias).get_for_model(Item)
        self.note = self.objects(Note).create(
            text="1", content_type=self.content_type, object_id=self.item.pk
        )
        if matrix.HAS_DB_CASCADE:
            self._make_tree()

    def _make_tree(self) -> None:
        self.branch, other_branch = self._names(Branch, "1", "2")
        self.bird, self.other_bird = self._names(Bird, "1", "2")
        self.twig, self.other_twig = self.objects(Twig).bulk_create(
            [Twig(name="1", branch=self.branch), Twig(name="2", branch=other_branch)]
        )
        self.objects(Nest).bulk_create([Nest(twig=self.twig, bird=self.bird)])

    def new(self, code: str, **values: Any) -> Item:
        """Return an item that is not saved."""
        return Item(code=code, name=code, **{"topic": self.topic, **values})

    def next_key(self) -> int:
        """Return the primary key that the next item will get."""
        return int(self.objects(Item).aggregate(last=Max("pk"))["last"]) + 1

    def key_of(self, target: Target) -> int:
        """Return the primary key of the row that is written."""
        return self.next_key() if target == "new" else int(getattr(self, target).pk)

    def reads(self, target: Target, shown: Collection[str]) -> list[Read]:
        """Return what is cached of the row that is written, and of all rows together.

        What hangs on it by other relations than a usual row has is among them if it is in `shown`.
        """
        if target == "twig":
            return self._reads_of_twig()
        pk = self.key_of(target)
        labels = (self.label.pk, self.spare_label.pk)
        found: list[tuple[Any, tuple[int, ...]]] = [
            (shapes.row, (pk,)),
            (shapes.rows, ()),
            (shapes.aggregate, ()),
            (shapes.join, ()),
            (shapes.many_to_many, labels),
            (shapes.many_to_many_reverse, (pk,)),
            (shapes.tracked, (self.topic.pk,)),
        ]
        if self.rule:
            found.append((shapes.tagged, (self.topic.pk,)))
        unusual = (shapes.through, shapes.generic, shapes.child)
        found += [(function, (pk,)) for function in unusual if function.__name__ in shown]
        return [Read(function, (self.alias, *args)) for function, args in found]

    def _reads_of_twig(self) -> list[Read]:
        found: list[tuple[Any, tuple[int, ...]]] = [
            (shapes.twig_row, (self.twig.pk,)),
            (shapes.twig_rows, ()),
            (shapes.twig_aggregate, ()),
            (shapes.twig_join, ()),
            (shapes.twig_many_to_many, (self.bird.pk,)),
        ]
        return [Read(function, (self.alias, *args)) for function, args in found]

    def others(self, target: Target) -> tuple[list[Read], list[Read]]:
        """Return what is cached of other rows of the model that is written.

        That is by their keys and, with a rule, by the value of a column.
        """
        if target == "twig":
            return [Read(shapes.twig_row, (self.alias, self.other_twig.pk))], []
        keys, topic = (self.other.pk, self.far.pk), self.topic_of_far.pk
        by_value = (shapes.tracked, shapes.tagged) if self.rule else ()
        return (
            [Read(shapes.row, (self.alias, pk)) for pk in keys],
            [Read(function, (self.alias, topic)) for function in by_value],
        )

    def untouched(self) -> list[Read]:
        """Return what is cached of models that are not written, or of other rows of those."""
        return [
            Read(shapes.topic_row, (self.alias, self.topic_of_far.pk)),
            Read(shapes.bystander, (self.alias, self.bystander.pk)),
        ]

    def other_end(self) -> list[Read]:
        """Return what is cached of another row at the other end of a many-to-many relation."""
        return [Read(shapes.label_row, (self.alias, self.other_label.pk))]
