"""What cached functions read, in all the ways that a project asks its database."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import connections
from django.db.models import Count, Exists, Max, Model, OuterRef, Prefetch, QuerySet, Sum

from tests.fuzz.conditions import Rows, is_steady, rows_of
from tests.fuzz.schemas import UNREAD, Schema, Table, literal, stored, tag_of, tag_value

DEPTH = 3  # relations that are followed when two values are compared


@dataclass(frozen=True)
class Read:
    """One query, or a few that belong together; `shape` names its kind in the statistics."""

    shape: str
    rows: Rows
    name: str = ""
    # Given to `cached`, whose function depends on nothing else then.
    tags: tuple[str, ...] | None = None
    # Read by cached functions of their own, called by this one.
    parts: "tuple[Read, ...]" = ()
    # How the function is declared, and what it is called with; see `functions` and `arguments`.
    dress: str = "usual"
    arguments: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        said = f" {self.name}" if self.name else ""
        said += "" if self.dress == "usual" else f" ({self.dress})"
        if self.parts:
            return f"<{self.shape} of {', '.join(map(repr, self.parts))}>"
        tags = f" tags={self.tags}" if self.tags is not None else ""
        return f"<{self.shape}{said} {self.rows!r}{tags}>"

    def on(self, alias: str) -> Any:
        """Return what the database `alias` has now."""
        return _SHAPES[self.shape](self, self.rows.on(alias), alias)


def _values(read: Read, found: QuerySet[Any], alias: str) -> Any:
    names = [f.attname for f in read.rows.table.model._meta.concrete_fields if f.name != UNREAD]
    return list(found.order_by("pk").values_list("pk", *names))


def _get(read: Read, found: QuerySet[Any], alias: str) -> Any:
    try:
        return read.rows.table.model._base_manager.using(alias).get(**read.rows.lookups)
    except ObjectDoesNotExist:
        return None


def _in_bulk(read: Read, found: QuerySet[Any], alias: str) -> Any:
    return read.rows.table.model._base_manager.using(alias).in_bulk(read.rows.lookups["pk__in"])


def _aggregates(read: Read, found: QuerySet[Any], alias: str) -> Any:
    return found.aggregate(total=Sum("n"), most=Max("m"), rows=Count("pk", distinct=True))


def _groups(read: Read, found: QuerySet[Any], alias: str) -> Any:
    return list(found.order_by("s").values("s").annotate(number=Count("pk", distinct=True)))


def _slice(read: Read, found: QuerySet[Any], alias: str) -> Any:
    return list(found.order_by("-n", "s", "pk").values_list("pk", "n")[:2])


def _joined(read: Read, found: QuerySet[Any], alias: str) -> Any:
    return list(found.select_related(read.name).order_by("pk"))


def _joined_values(read: Read, found: QuerySet[Any], alias: str) -> Any:
    return list(found.order_by("pk").values_list("pk", f"{read.name}__n", f"{read.name}__s"))


def _prefetched(read: Read, found: QuerySet[Any], alias: str) -> Any:
    related = read.rows.table.model._meta.get_field(read.name).related_model
    rows = related._base_manager.using(alias).order_by("pk")  # type: ignore[union-attr]
    accessor = getattr(read.rows.table.model._meta.get_field(read.name), "get_accessor_name", None)
    name = accessor() if accessor else read.name
    return list(found.prefetch_related(Prefetch(name, rows)).order_by("pk"))


def _related_count(read: Read, found: QuerySet[Any], alias: str) -> Any:
    counted = found.annotate(number=Count(read.name, distinct=True))
    return list(counted.order_by("pk").values_list("pk", "number"))


def _has_related(read: Read, found: QuerySet[Any], alias: str) -> Any:
    table = read.rows.table
    key = table.column(read.name).target_field.name
    target = table.relations[read.name].model._base_manager.filter(**{key: OuterRef(read.name)})
    return list(
        found.annotate(has=Exists(target.filter(n=1))).order_by("pk").values_list("pk", "has")
    )


def _one_after_another(read: Read, found: QuerySet[Any], alias: str) -> Any:
    result = []
    for row in found.order_by("pk"):
        try:
            result.append((row.pk, getattr(row, read.name)))
        except ObjectDoesNotExist:
            result.append((row.pk, None))
    return result


def _many(read: Read, found: QuerySet[Any], alias: str) -> Any:
    return [(row.pk, list(getattr(row, read.name).order_by("pk"))) for row in found.order_by("pk")]


def _raw(read: Read, found: QuerySet[Any], alias: str) -> Any:
    quote = connections[alias].ops.quote_name
    model = read.rows.table.model
    name, key = quote(model._meta.db_table), quote(str(model._meta.pk.column))
    given: Any = None
    text = f"SELECT * FROM {name} "
    if "pk" in read.rows.lookups:
        value = stored(read.rows.table, "pk", read.rows.lookups["pk"], alias)
        if read.name == "literal":
            text += f"WHERE {key} = {literal(value)} "
        elif read.name == "named":
            text, given = f"{text} WHERE {key} = %(key)s ", {"key": value}
        else:
            text, given = f"{text} WHERE {key} IN (%s) ", [value]
    elif read.name == "total":
        text = f"WITH t AS (SELECT * FROM {name}) SELECT COUNT(*) FROM t"
    with connections[alias].cursor() as cursor:
        cursor.execute(text, given)
        shown = [column[0] != UNREAD for column in cursor.description]
        return sorted([tuple(compress(row, shown)) for row in cursor.fetchall()], key=repr)


def _model_raw(read: Read, found: QuerySet[Any], alias: str) -> Any:
    model = read.rows.table.model
    name = connections[alias].ops.quote_name(model._meta.db_table)
    rows = model._base_manager.raw(f"SELECT * FROM {name}", using=alias)
    return sorted(rows, key=lambda row: repr(row.pk))


def _union(read: Read, found: QuerySet[Any], alias: str) -> Any:
    # Nothing else than the keys, whose order is the same everywhere.
    every = read.rows.table.model._base_manager.using(alias).filter(n=1).values_list("pk", "n")
    return sorted(found.values_list("pk", "n").union(every), key=repr)


_SHAPES: dict[str, Any] = {
    "values": _values,
    "keys": lambda read, found, alias: list(found.order_by("pk").values_list("pk", flat=True)),
    "get": _get,
    "in bulk": _in_bulk,
    "first": lambda read, found, alias: found.order_by("pk").first(),
    "exists": lambda read, found, alias: found.exists(),
    "count": lambda read, found, alias: found.count(),
    "aggregates": _aggregates,
    "groups": _groups,
    "slice": _slice,
    "lazy": lambda read, found, alias: found.order_by("pk"),
    "lazy in a dict": lambda read, found, alias: {"rows": found.order_by("pk").defer("n")},
    "chunks": lambda read, found, alias: list(found.order_by("pk").iterator(chunk_size=2)),
    "joined": _joined,
    "joined values": _joined_values,
    "prefetched": _prefetched,
    "related count": _related_count,
    "has related": _has_related,
    "one after another": _one_after_another,
    "many": _many,
    "raw": _raw,
    "raw model": _model_raw,
    "union": _union,
}


def reads_of(schema: Schema, table: Table) -> list[list[Read]]:
    """Return reads of `table`, sorted by what they are like."""
    rows = list(filter(is_steady, rows_of(table)))
    by_shape: dict[str, list[Read]] = {}
    for read in (*_of_table(table, rows), *_of_relations(table, rows)):
        by_shape.setdefault(read.shape, []).append(read)
    one = [read for reads in by_shape.values() for read in reads if "pk" in read.rows.lookups]
    rule = schema.rules.get(table.model)
    tracked = [
        Read(shape, Rows(table, {name: value}))
        for name in (rule.track if rule else ())
        for value in table.pools[name]
        if value is not None
        for shape in ("values", "count", "lazy")
    ]
    tagged = list(_tagged(schema, table))
    return [
        *by_shape.values(),
        one,
        one,
        one,
        one,
        *[tagged] * 4,
        *[tracked] * (4 if tracked else 0),
    ]


def _of_table(table: Table, rows: Sequence[Rows]) -> Iterator[Read]:
    for each in rows:
        yield Read("values", each)
    shapes = ["exists", "count", "lazy", "first"]
    if "n" in table.pools:
        shapes += ["slice", "aggregates", "union"]
    if "s" in table.pools and not table.is_loose:  # Or any of those that are alike may be shown.
        shapes.append("groups")
    for shape in shapes:
        for each in rows[:: 1 + len(rows) // 8]:
            yield Read(shape, each)
    for each in rows[:: 1 + len(rows) // 4]:
        if "n" in table.pools:
            yield Read("lazy in a dict", each)
        yield Read("chunks", each)
    yield Read("raw", Rows(table))
    yield Read("raw", Rows(table), "total")
    yield Read("raw model", Rows(table)) if table.parent is None else Read("raw", Rows(table))
    yield Read("in bulk", Rows(table, {"pk__in": list(table.keys[:2])}))
    for key in table.keys:
        yield Read("get", Rows(table, {"pk": key}))
        for name in ("literal", "named", "positional"):
            yield Read("raw", Rows(table, {"pk": key}), name)


def _of_relations(table: Table, rows: Sequence[Rows]) -> Iterator[Read]:
    some = [Rows(table), *(each for each in rows if each.lookups)][:: 1 + len(rows) // 8]
    one = Rows(table, {"pk": table.keys[0]})
    for name in table.relations:
        for each in (one, *some):
            yield Read("joined", each, name)
            yield Read("joined values", each, name)
        for each in (one, Rows(table)):
            yield Read("prefetched", each, name)
            yield Read("has related", each, name)
            yield Read("one after another", each, name)
    for name in table.many:
        for each in (one, Rows(table), Rows(table, {table.number: 1})):
            yield Read("many", each, name)
            yield Read("prefetched", each, name)
            yield Read("related count", each, name)
    if table.parent is None:
        for relation in table.model._meta.related_objects:
            if not relation.one_to_one:
                for each in (one, Rows(table)):
                    yield Read("prefetched", each, relation.name)
                    yield Read("related count", each, relation.name)


def _tagged(schema: Schema, table: Table) -> Iterator[Read]:
    """Yield reads whose tags are given, and dropped by the rule of the model.

    They are not reached by what is written under the name of a view or of a partition.
    """
    if schema.shown:
        return
    rule: Any = schema.rules.get(table.model)
    for name in rule.told if rule is not None else ():
        # Of texts that only the database takes for equal, nothing is promised to who names them.
        if not (name == "pk" and table.is_loose):
            for value in table.keys if name == "pk" else table.pools[name]:
                if value is not None:
                    tag = f"{tag_of(table, name)}:{tag_value(value)}"
                    # Of what a rule with `fields` does not look at, it says nothing.
                    shape = "values" if rule.fields is None else "keys"
                    yield Read(shape, Rows(table, {name: value}), tags=(tag,))
    label = table.model._meta.label_lower
    if table.parent is None or schema.grammar == "unusual":
        yield Read("values", Rows(table), tags=(label,))
        if isinstance(table.keys[0], int):
            key = table.keys[0]
            yield Read("values", Rows(table, {"pk": key}), tags=(f"{label}:{key}",))


def plain(value: Any, depth: int = 0) -> Any:
    """Return what can be compared: rows as all that they hold, and not as their keys."""
    if isinstance(value, Model):
        return _plain_row(value, depth)
    if isinstance(value, QuerySet | list | tuple):
        return [plain(each, depth) for each in value]
    if isinstance(value, dict):
        return {key: plain(each, depth) for key, each in value.items()}
    return value


def _plain_row(row: Model, depth: int) -> Any:
    held = row.__dict__
    fields = [field for field in row._meta.concrete_fields if field.name != UNREAD]
    columns = {field.attname: held.get(field.attname, "deferred") for field in fields}
    if depth == DEPTH:
        return columns
    cached = {name: plain(each, depth + 1) for name, each in row._state.fields_cache.items()}
    fetched = {
        name: plain(list(each), depth + 1)
        for name, each in held.get("_prefetched_objects_cache", {}).items()
    }
    return columns, cached, fetched
