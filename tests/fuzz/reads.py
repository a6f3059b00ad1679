"""What cached functions read, in all the ways that a project asks its database."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

from django.contrib.contenttypes.prefetch import GenericPrefetch
from django.core.exceptions import ObjectDoesNotExist
from django.db import connections
from django.db.models import Count, Max, Model, QuerySet, Sum

from tests.fuzz import related_reads
from tests.fuzz.conditions import Rows, is_steady, rows_of
from tests.fuzz.schemas import UNREAD, Schema, Table, literal, stored, tag_value

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
        if self.shape in related_reads.SHAPES:
            return related_reads.SHAPES[self.shape](self.rows.on(alias), self.name)
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


def _generic(read: Read, found: QuerySet[Any], alias: str) -> Any:
    models = read.rows.table.generic[read.name]
    fetched = GenericPrefetch(read.name, [model._base_manager.using(alias) for model in models])
    return list(found.prefetch_related(fetched).order_by("pk"))


_SHAPES: dict[str, Any] = {
    "values": _values,
    "numbers": lambda read, found, alias: list(found.order_by("pk").values_list("pk", "n")),
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
    "raw": _raw,
    "raw model": _model_raw,
    "union": _union,
    "generic": _generic,
}


def reads_of(schema: Schema, table: Table) -> list[list[Read]]:
    """Return reads of `table`, sorted by what they are like."""
    rows = list(filter(is_steady, rows_of(table)))
    by_shape: dict[str, list[Read]] = {}
    related = [Read(*each) for each in related_reads.of_relations(table, rows)]
    for read in (*_of_table(table, rows), *related):
        by_shape.setdefault(read.shape, []).append(read)
    one = [read for reads in by_shape.values() for read in reads if "pk" in read.rows.lookups]
    tracked = [
        Read(shape, Rows(table, {name: value}))
        for rule in schema.rules.get(table.model, ())
        for name in rule.track
        for value in table.pools[name]
        if value is not None
        for shape in ("values", "count", "lazy")
    ]
    tagged = list(_tagged(schema, table))
    return [
        *by_shape.values(),
        *[one] * 4,
        *[tagged] * (20 if schema.grammar == "related" else 4),
        *[tracked] * (4 if tracked else 0),
    ]


def reads_over(table: Table, name: str) -> list[list[Read]]:
    """Return reads of `table` over the relation `name`: all, and those that depend on rows there.

    They do if they are joined by key, and no condition is on the other table.
    """
    rows = list(filter(is_steady, rows_of(table)))
    found = [Read(*each) for each in related_reads.of_relations(table, rows)]
    found = [read for read in found if read.name.split("__")[0] == name]
    by_key = [read for read in found if read.shape in related_reads.BY_KEY]
    return [found, [read for read in by_key if read.rows.lookups.keys() <= {"pk", table.number}]]


def _of_table(table: Table, rows: Sequence[Rows]) -> Iterator[Read]:
    for each in rows:
        yield Read("values", each)
    for shape in _shapes_for(table):
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


def _shapes_for(table: Table) -> list[str]:
    shapes = ["exists", "count", "lazy", "first"]
    if "n" in table.pools:
        shapes += ["slice", "union"]
    if "m" in table.pools:
        shapes.append("aggregates")
    if "s" in table.pools and not table.is_loose:  # Or any of those that are alike may be shown.
        shapes.append("groups")
    return shapes


def _tagged(schema: Schema, table: Table) -> Iterator[Read]:
    """Yield reads whose tags are given, and dropped by the rule of the model.

    They are not reached by what is written under the name of a view or of a partition.
    """
    if schema.shown:
        return
    rules: Any = schema.rules.get(table.model, ())
    for rule in rules:
        for name, family in rule.told.items():
            # Of texts that only the database takes for equal, nothing is promised.
            if name == "pk" and table.is_loose:
                continue
            for value in table.keys if name == "pk" else table.pools[name]:
                if value is not None:
                    tag = f"{family}:{tag_value(value)}"
                    # Of what a tag with `fields` does not look at, it says nothing.
                    shape = "numbers" if name in rule.partial else "values"
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
