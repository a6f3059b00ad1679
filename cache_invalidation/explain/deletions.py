"""What Django and the database do when rows are deleted, found out without deleting them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Final

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import CASCADE, PROTECT, RESTRICT, Model, QuerySet
from django.db.models.deletion import (
    Collector,
    ProtectedError,
    RestrictedError,
    get_candidate_relations_to_delete,
)
from django.db.models.sql import DeleteQuery

from cache_invalidation.conf import settings
from cache_invalidation.explain.statements import changes_of
from cache_invalidation.explain.states import assigned
from cache_invalidation.observing import cascades
from cache_invalidation.observing.many_to_many import (
    deleting,
    going_along,
    is_along,
    left_of,
    worth_asking,
)
from cache_invalidation.observing.rows_written import analyze
from cache_invalidation.rules import catalog
from cache_invalidation.rules.catalog import all_rows
from cache_invalidation.rules.declarations import Change
from cache_invalidation.rules.registry import registry
from cache_invalidation.sql import Statement, Write
from cache_invalidation.tags import table_of

REFUSED: Final = (ProtectedError, RestrictedError)


def of_rows(rows: Sequence[Model] | QuerySet[Any], using: str) -> Iterator[Change]:
    """Yield the changes that deleting `rows` makes; raise one of `REFUSED` if that is forbidden.

    It is Django's own collector that finds them, with the queries that it sends for that.
    """
    collector: Any = Collector(using=using)
    collector.collect(rows)
    for instances in collector.data.values():
        for row in instances:
            model = table_of(type(row))
            old = row if registry.plan(model).needs_state else None
            yield Change(model=model, operation="delete", using=using, pk=row.pk, old=old)
        if instances:
            yield from _by_the_database(model, using)
    yield from _of_relations(collector.data, using)
    for found in collector.fast_deletes:
        with going_along({}) if is_along(found.model, collector.data) else nullcontext():
            by_statement = list(_of_statement(found, using))
        yield from by_statement
    for (field, value), groups in collector.field_updates.items():
        for group in groups:
            yield from _of_update(field, value, group, using)


def _of_relations(data: Mapping[type[Model], Sequence[Model]], using: str) -> Iterator[Change]:
    """Yield the changes at both ends of the relations among what Django has loaded."""

    def left(keys: Sequence[Any]) -> Mapping[Any, Any]:
        return left_of(between, data[between], data, connections[using])

    asked = frozenset(worth_asking(data))
    for between in catalog.many_to_many().keys() & data.keys():
        named = all_rows(between, using).filter(pk__in=[row.pk for row in data[between]])
        with deleting({between: left} if between in asked else {}):
            changes = list(_of_statement(named, using))
        yield from (each for each in changes if each.operation == "m2m")


def _by_the_database(model: type[Model], using: str) -> Iterator[Change]:
    write = Write(table=model._meta.db_table, kind="delete")
    return cascades.changes(Statement(writes=(write,)), using)


def _of_statement(rows: QuerySet[Any], using: str) -> Iterator[Change]:
    """Yield the changes that one DELETE makes for all `rows`, as the SQL watcher takes it."""
    if not rows.using(using).exists():
        return
    query = rows.query.clone()
    query.__class__ = DeleteQuery
    try:
        text, params = query.get_compiler(using).as_sql()
    except EmptyResultSet:
        return
    connection = connections[using]
    yield from changes_of(analyze(connection, text), params, connection)


def _of_update(field: Any, value: Any, rows: Any, using: str) -> Iterator[Change]:
    """Yield the changes to `rows` that refer to one that goes, by `field`, which gets `value`."""
    model, limit = table_of(field.model), settings.ROW_TAG_LIMIT
    unknown = Change(model=model, operation="update", using=using, fields=frozenset({field.name}))
    if isinstance(rows, QuerySet):
        if not registry.plan(model).needs_state:
            yield from [unknown] if rows.exists() else []
            return
        rows = rows.order_by()[: limit + 1]
    if len(rows) > limit:
        yield unknown
        return
    for row in rows:
        yield Change(
            model=model,
            operation="update",
            using=using,
            pk=row.pk,
            old=row,
            new=assigned(row, [field], {field.name: value}),
            fields=unknown.fields,
        )


def of_any_row(model: type[Model], using: str) -> Iterator[Change]:
    """Yield the changes that deleting rows of `model` may make, whichever they are."""
    seen: dict[tuple[type[Model], Any], None] = {}
    waiting: list[tuple[type[Model], Any]] = [(model, None)]
    while waiting:
        found = waiting.pop(0)
        if found in seen:
            continue
        seen[found] = None
        table, field = found
        if field is not None:
            fields = frozenset({field.name})
            yield Change(model=table, operation="update", using=using, fields=fields)
            continue
        yield Change(model=table, operation="delete", using=using)
        waiting += [(table_of(parent), None) for parent in table._meta.all_parents]
        waiting += _followed(table)
    # Those that the database follows by itself are not Django's to collect.
    for table, field in seen:
        if field is None:
            yield from _by_the_database(table, using)


def _followed(model: type[Model]) -> Iterator[tuple[type[Model], Any]]:
    """Yield the models whose rows Django deletes with those of `model`, and fields it sets."""
    relations: Iterable[Any] = get_candidate_relations_to_delete(model._meta)
    for relation in relations:
        child = table_of(relation.related_model)
        if relation.on_delete is CASCADE:
            yield child, None
        elif relation.on_delete not in (PROTECT, RESTRICT) and not cascades.is_left(relation):
            yield child, relation.field
    generic: Iterable[Any] = model._meta.private_fields
    for field in generic:
        if hasattr(field, "bulk_related_objects"):
            yield table_of(field.related_model), None
