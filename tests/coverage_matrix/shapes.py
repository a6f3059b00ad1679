"""The shapes of cached reads: what pages show, each cached without a word on what it depends on.

Each is a function of a database alias and of primary keys. `runs` counts how often its body ran:
a call that does not raise the count was a hit.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.db.models import Count, Sum

from cache_invalidation import cached
from tests.surfaces.by_hand import DJANGOS_PAGE, READ_BEFORE
from tests.testapp import matrix
from tests.testapp.matrix import Bystander, Fan, Item, Label, Note, SpecialItem, Topic

COLUMNS = ("pk", "code", "name", "number", "topic_id", "shelf_id", "box_id")

runs: Counter[str] = Counter()


def counted(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def wrapper(*args: Any) -> Any:
        runs[function.__name__] += 1
        return function(*args)

    return wrapper


@dataclass(frozen=True)
class Read:
    """One call of a cached function, or of what stands in its place."""

    function: Any
    args: tuple[Any, ...]
    kind: str = "function"

    def __str__(self) -> str:
        return f"{self.kind} {self.shape}{self.args}"

    @property
    def shape(self) -> str:
        return str(self.function.__name__)

    def may_hit(self, *, in_snapshot: bool) -> bool:
        """Whether the cache is asked: rows are not, where a transaction sees older ones."""
        return not in_snapshot or self.kind not in ("cached()", "QUERIES")

    @property
    def asks(self) -> int:
        """How often it has to be asked for until it is cached.

        Django's `cache_page` sets a key that it has not asked for where it finds nothing. If that
        was deleted not long ago, nobody knows whether it was before or after the page was made.
        """
        return 2 if self.kind in (READ_BEFORE, DJANGOS_PAGE) else 1

    def cached(self) -> tuple[Any, bool]:
        """Return the value as a page gets it, and whether it was a hit."""
        before = runs[self.shape]
        value = self.function(*self.args)
        return value, runs[self.shape] == before

    def uncached(self) -> Any:
        return self.function.uncached(*self.args)


@cached()
@counted
def row(alias, pk):
    return Item.objects.using(alias).filter(pk=pk).values_list(*COLUMNS).first()


@cached()
@counted
def rows(alias):
    return list(Item.objects.using(alias).order_by("pk").values_list(*COLUMNS))


@cached()
@counted
def aggregate(alias):
    return Item.objects.using(alias).aggregate(
        Sum("pk"), Sum("number"), Sum("topic_id"), Count("shelf"), Sum("box_id")
    )


@cached()
@counted
def join(alias):
    found = Item.objects.using(alias).order_by("pk")
    return list(found.values_list(*COLUMNS, "topic__name", "shelf__name", "box__name"))


@cached()
@counted
def many_to_many(alias, *labels):
    found = Item.objects.using(alias).filter(labels__in=labels).order_by("pk", "labels")
    return list(found.values_list(*COLUMNS, "labels__name"))


@cached()
@counted
def many_to_many_reverse(alias, item):
    return list(Label.objects.using(alias).filter(items=item).values_list("name", flat=True))


@cached()
@counted
def through(alias, item):
    return list(Fan.objects.using(alias).filter(items=item).values_list("name", "picks__stars"))


@cached()
@counted
def generic(alias, item):
    notes = Note.objects.using(alias).filter(content_type__model="item", object_id=item)
    return list(notes.order_by("pk").values_list("text", flat=True))


@cached()
@counted
def child(alias, pk):
    found = SpecialItem.objects.using(alias).filter(pk=pk)
    return found.values_list(*COLUMNS, "extra").first()


@cached()
@counted
def tracked(alias, topic):
    return list(Item.objects.using(alias).filter(topic=topic).order_by("pk").values_list(*COLUMNS))


@cached(tags=["topic:{topic}"])
@counted
def tagged(alias, topic):
    return list(Item.objects.using(alias).filter(topic=topic).order_by("pk").values_list(*COLUMNS))


@cached()
@counted
def topic_row(alias, pk):
    return Topic.objects.using(alias).filter(pk=pk).values_list("name").first()


@cached()
@counted
def label_row(alias, pk):
    return Label.objects.using(alias).filter(pk=pk).values_list("name").first()


@cached()
@counted
def bystander(alias, pk):
    return Bystander.objects.using(alias).filter(pk=pk).values_list("name").first()


if matrix.HAS_DB_CASCADE:
    from tests.testapp.matrix import Twig

    @cached()
    @counted
    def twig_row(alias, pk):
        return (
            Twig._default_manager.using(alias)
            .filter(pk=pk)
            .values_list("name", "branch_id")
            .first()
        )

    @cached()
    @counted
    def twig_rows(alias):
        return list(
            Twig._default_manager.using(alias).order_by("pk").values_list("name", flat=True)
        )

    @cached()
    @counted
    def twig_aggregate(alias):
        return Twig._default_manager.using(alias).aggregate(Sum("length"))

    @cached()
    @counted
    def twig_join(alias):
        found = Twig._default_manager.using(alias).order_by("pk")
        return list(found.values_list("name", "branch__name"))

    @cached()
    @counted
    def twig_many_to_many(alias, bird):
        found = Twig._default_manager.using(alias).filter(birds=bird).order_by("pk")
        return list(found.values_list("name", flat=True))
