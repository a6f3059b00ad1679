"""What cached functions read over relations: joins, prefetches, and what hangs on each row."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Final

from django.contrib.contenttypes.fields import GenericRelation
from django.core.exceptions import FieldDoesNotExist, ObjectDoesNotExist
from django.db.models import Count, Exists, F, FilteredRelation, OuterRef, Prefetch, Q, QuerySet

from tests.fuzz.conditions import Rows
from tests.fuzz.schemas import Table, relations_to

Rowset = QuerySet[Any, Any]


def _joined(found: Rowset, name: str) -> Any:
    return list(found.select_related(name).order_by("pk"))


def _joined_slice(found: Rowset, name: str) -> Any:
    """Return the first row by what is in other ones."""
    return list(found.select_related(name).order_by(f"-{name}__n", "pk")[:1])


def _joined_only(found: Rowset, name: str) -> Any:
    return list(found.select_related(name).only("pk", name, f"{name}__n").order_by("pk"))


def _joined_values(found: Rowset, name: str) -> Any:
    names = [f"{name}__{column}" for column in _columns(found, name)]
    return list(found.order_by("pk").values_list("pk", *names))


def _values_beside_keys(found: Rowset, name: str) -> Any:
    names = [f"{name}__{column}" for column in _columns(found, name)]
    return list(found.order_by("pk").values("pk", f"{name}_id", *names))


def _distinct_values(found: Rowset, name: str) -> Any:
    return sorted(found.values_list(f"{name}_id", f"{name}__n").distinct(), key=repr)


def _first_values(found: Rowset, name: str) -> Any:
    order = F(f"{name}__n").asc(nulls_last=True)
    return list(found.order_by(order, "pk").values_list("pk", f"{name}_id", f"{name}__n")[:1])


def _joined_if(found: Rowset, name: str) -> Any:
    related = FilteredRelation(name, condition=Q(**{f"{name}__n__gte": 1}))
    rows = found.annotate(those=related).order_by("pk")
    return list(rows.values_list("pk", f"{name}_id", "those__n"))


def _annotated(found: Rowset, name: str) -> Any:
    rows = found.annotate(theirs=F(f"{name}__n")).select_related(name).order_by("pk")
    return [(row.pk, row.theirs, row) for row in rows]


def _reverse_values(found: Rowset, name: str) -> Any:
    return sorted(found.values_list("pk", f"{name}__pk", f"{name}__n"), key=repr)


def _columns(found: Rowset, name: str) -> Sequence[str]:
    """Return columns that are at the end of the relations `name`."""
    model: Any = found.model
    for step in name.split("__"):
        model = model._meta.get_field(step).related_model
    return [column for column in ("n", "s", "c", "x") if _has(model, column)]


def _has(model: Any, name: str) -> bool:
    try:
        model._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return True


def _prefetched(found: Rowset, name: str) -> Any:
    rows = _related_rows(found, name).order_by("pk")
    return list(found.prefetch_related(Prefetch(_accessor(found, name), rows)).order_by("pk"))


def _prefetched_some(found: Rowset, name: str) -> Any:
    """Return rows with those at the other end that fulfil a condition, and what these refer to."""
    rows = _related_rows(found, name)
    if _has(rows.model, "n"):
        rows = rows.filter(n__gte=1)
    if _has(rows.model, "f0"):
        rows = rows.select_related("f0")
    fetched = Prefetch(_accessor(found, name), rows.order_by("pk"), to_attr="some")
    return [(row, row.some) for row in found.prefetch_related(fetched).order_by("pk")]


def _prefetched_steps(found: Rowset, name: str) -> Any:
    """Return rows with what they refer to, and what that refers to, in a query for each step."""
    return list(found.prefetch_related(name).order_by("pk"))


def _related_rows(found: Rowset, name: str) -> Rowset:
    related: Any = found.model._meta.get_field(name).related_model
    return related._base_manager.using(found.db)  # type: ignore[no-any-return]


def _accessor(found: Rowset, name: str) -> str:
    accessor = getattr(found.model._meta.get_field(name), "get_accessor_name", None)
    return str(accessor()) if accessor else name


def _related_count(found: Rowset, name: str) -> Any:
    counted = found.annotate(number=Count(name, distinct=True))
    return list(counted.order_by("pk").values_list("pk", "number"))


def _has_related(found: Rowset, name: str) -> Any:
    relation: Any = found.model._meta.get_field(name)
    key = relation.target_field.name
    target = relation.related_model._base_manager.filter(**{key: OuterRef(name)})
    return list(
        found.annotate(has=Exists(target.filter(n=1))).order_by("pk").values_list("pk", "has")
    )


def _one_after_another(found: Rowset, name: str) -> Any:
    result = []
    for row in found.order_by("pk"):
        try:
            result.append((row.pk, getattr(row, name)))
        except ObjectDoesNotExist:
            result.append((row.pk, None))
    return result


def _many(found: Rowset, name: str) -> Any:
    return [(row.pk, list(getattr(row, name).order_by("pk"))) for row in found.order_by("pk")]


SHAPES: Final[Mapping[str, Callable[[Rowset, str], Any]]] = {
    "joined": _joined,
    "joined slice": _joined_slice,
    "joined only": _joined_only,
    "joined values": _joined_values,
    "values beside keys": _values_beside_keys,
    "distinct values": _distinct_values,
    "first values": _first_values,
    "joined if": _joined_if,
    "annotated": _annotated,
    "reverse values": _reverse_values,
    "prefetched": _prefetched,
    "prefetched some": _prefetched_some,
    "prefetched steps": _prefetched_steps,
    "related count": _related_count,
    "has related": _has_related,
    "one after another": _one_after_another,
    "many": _many,
}

_Asked = Iterator[tuple[str, Rows, str]]

_OF_ANY: Final = ("prefetched", "prefetched some", "one after another")
_OF_MANY: Final = ("many", "prefetched", "prefetched some", "related count")
#: Those that depend on rows of the other table, if no condition is on it.
BY_KEY: Final = (
    *("joined", "joined slice", "joined only", "values beside keys", "first values"),
    *("prefetched", "prefetched some"),
)
_BY_NUMBERS: Final = ("joined only", "joined if", "annotated", "distinct values", "has related")


def of_relations(table: Table, rows: Sequence[Rows]) -> _Asked:
    """Yield the shape, the rows and the relation of what is read over those of `table`."""
    some = [Rows(table), *(each for each in rows if each.lookups)][:: 1 + len(rows) // 8]
    one = Rows(table, {"pk": table.keys[0]})
    for name, target in table.relations.items():
        yield from _joins(name, target, [one, *some])
        yield from _to_one(name, target, [one, Rows(table)])
    for name, target in table.many.items():
        shapes = [*_OF_MANY, *(["reverse values"] if "n" in target.pools else [])]
        yield from _product(shapes, [one, Rows(table), Rows(table, {table.number: 1})], name)
    for name in table.generic:
        yield from _product(["generic", "one after another"], [one, Rows(table)], name)
    if table.parent is None:
        yield from _reverse(table, [one, Rows(table)])


def _product(shapes: Iterable[str], rows: Sequence[Rows], name: str) -> _Asked:
    for shape, each in product(shapes, rows):
        yield shape, each, name


def _joins(name: str, target: Table, rows: Sequence[Rows]) -> _Asked:
    yield from _product(["joined", "joined values", "values beside keys"], rows, name)
    if "n" in target.pools:
        yield from _product(["joined slice", "first values"], rows, name)


def _to_one(name: str, target: Table, rows: Sequence[Rows]) -> _Asked:
    yield from _product(_OF_ANY, rows, name)
    if "n" in target.pools and target.parent is None:
        yield from _product(_BY_NUMBERS, rows, name)
    for further in target.relations:
        shapes = ("joined", "joined values", "prefetched steps")
        yield from _product(shapes, rows, f"{name}__{further}")


def _reverse(table: Table, rows: Sequence[Rows]) -> _Asked:
    for relation in relations_to(table.model):
        shapes = ["joined", "joined values"]
        if not table.is_loose:  # Django does not find rows by keys that only the database matches.
            shapes.append("prefetched")
        if not relation.one_to_one:
            shapes = ["prefetched", "prefetched some", "related count"]
            shapes += ["reverse values"] if _has(relation.related_model, "n") else []
        yield from _product(shapes, rows, relation.name)
    for field in table.model._meta.private_fields:
        if isinstance(field, GenericRelation):
            yield from _product(_OF_MANY, rows, field.name)
