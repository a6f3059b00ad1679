"""`explain_sql`: what a statement would make stale, and on what its result depends."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from itertools import chain
from typing import Any, Final

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Model

from cache_invalidation.connections import shielded
from cache_invalidation.explain.explanation import Explanation, effects_of, why_unwatched
from cache_invalidation.explain.states import assigned
from cache_invalidation.observing import cascades
from cache_invalidation.observing.keys import MISSING, value_given
from cache_invalidation.observing.many_to_many import all_written
from cache_invalidation.observing.relations import Relation, relation
from cache_invalidation.observing.rows_written import ORDINARY, Written, analyze
from cache_invalidation.observing.tags_read import tags_read
from cache_invalidation.rules import catalog
from cache_invalidation.rules.catalog import all_rows
from cache_invalidation.rules.declarations import Change
from cache_invalidation.rules.registry import registry
from cache_invalidation.sql import Parameter, Read, Statement, Write

_SEARCHED: Final = 10_000  # characters in which misspelled names are looked for


def explain_sql(sql: str, params: Any = None, *, using: str = DEFAULT_DB_ALIAS) -> Explanation:
    """Return what `sql` would invalidate, and on what depends who caches its result.

    It is not executed. `params` are its parameters, as a cursor takes them. Where it names rows,
    and a rule looks at their values, these rows are read. That is the most that it can invalidate:
    an UPDATE or DELETE that finds no row invalidates nothing.
    """
    if not isinstance(sql, str):
        raise TypeError(f"explain_sql() takes a statement as text, not {sql!r}.")
    connection = connections[using]
    statement = analyze(connection, sql)
    untold: dict[str, None] = {}

    def relation_of(read: Read) -> Relation:
        found = relation(connection, read)
        if found.instead:
            what = f"the {found.instead} {read.table}"
            untold[f"It reads {what}: nobody tells when that changes."] = None
        return found

    read = tags_read(statement, params, False, connection, relation_of).values()
    effects = effects_of(changes_of(statement, params, connection))
    return Explanation(
        subject=sql.strip(),
        operation="sql",
        effects=effects,
        reads=tuple(sorted(frozenset().union(*read))),
        notes=(*_notes(sql, statement, params, bool(effects)), *untold),
    )


def changes_of(
    statement: Statement, params: Any, connection: BaseDatabaseWrapper
) -> Iterator[Change]:
    """Yield the changes that `statement` would make."""
    using = connection.alias
    for each in all_written(statement, params, False, connection):
        plan = registry.plan(each.model)
        if not each.keys or not plan.needs_state or plan.is_told_by(each.fields):
            yield from each.changes(using)
            continue
        states = _states(each, using) if statement.kinds <= ORDINARY else None
        if states is None or not states.keys() <= set(each.keys):
            yield each.of_any_row(using)
        else:
            yield from _of_known_rows(each, states, params, using)
    yield from cascades.changes(statement, using)


def _states(written: Written, using: str) -> Mapping[Any, Model] | None:
    """Return the rows by primary key; None if they cannot be read, whatever the reason."""
    rows = all_rows(written.model, using).filter(pk__in=written.keys)
    try:
        with shielded(using):
            return {row.pk: row for row in rows}
    except DatabaseError:
        return None


def _of_known_rows(
    written: Written, states: Mapping[Any, Model], params: Any, using: str
) -> Iterator[Change]:
    fields: Iterable[Field[Any, Any]] = [
        field
        for field in written.model._meta.concrete_fields
        if field not in written.model._meta.pk_fields
        if written.fields is None or field.name in written.fields
    ]
    values = _values(written, params)
    for change in written.changes(using):
        old = states.get(change.pk)
        if written.operation == "delete" and old is not None:
            yield replace(change, old=old)
        elif written.operation == "m2m" and old is not None:
            yield replace(change, old=old, new=old)
        elif written.operation == "create":
            yield replace(change, old=old, new=assigned(_row(change), fields, values))
        elif written.operation == "update" and old is not None:
            yield replace(change, old=old, new=assigned(old, fields, values))


def _row(change: Change) -> Model:
    row = change.model(pk=change.pk)
    row._state.db = change.using
    return row


def _values(written: Written, params: Any) -> dict[str, Any]:
    """Return the values that are assigned to one row, or to all, as far as the text tells them."""
    write = written.write
    if len(write.rows) != 1 or len(write.rows[0]) != len(write.columns):
        return {}
    names = {field.column: field.name for field in written.model._meta.concrete_fields}
    bound = {
        names.get(column): _bound(value, params)
        for column, value in zip(write.columns, write.rows[0], strict=True)
    }
    return {name: value for name, value in bound.items() if name and value is not MISSING}


def _bound(value: Any, params: Any) -> Any:
    if not isinstance(value, Parameter):
        return MISSING if value is None else value
    return MISSING if value.is_array else value_given(value, params)


def _notes(sql: str, statement: Statement, params: Any, has_effects: bool) -> Iterator[str]:
    tables = statement.tables_written | statement.tables_read
    if not tables:
        yield from _about_nothing(sql, statement.is_guess)
        return
    if "ddl" in statement.kinds:
        yield "It changes what a table is, so everything that is cached would be dropped."
    if "unknown" in statement.kinds:
        yield "It is not understood, so it counts as a write to each table that it names."
    parameters = _parameters(statement)
    missing = {p.key: None for p in parameters if value_given(p, params) is MISSING}
    if missing:
        names = ", ".join(
            f"%({key})s" if isinstance(key, str) else f"%s {key + 1}" for key in missing
        )
        yield f"No value is given for {names}, so it is not known what depends on it."
    models = {model for table in tables for model in catalog.models_by_table()[table]}
    unwatched = sorted(filter(None, map(why_unwatched, models)))
    yield from unwatched
    if has_effects:
        return
    if not statement.writes:
        yield "It only reads, so nothing would be invalidated."
    elif not unwatched:
        yield "It names rows that are not there, so nothing would be invalidated."


def _about_nothing(sql: str, is_guess: bool) -> Iterator[str]:
    yield "It names no table of a model: nothing would be invalidated, and nothing depends on it."
    if is_guess:
        yield "It is not understood. It may be mistyped, or write to tables that it does not name."
    text = sql[:_SEARCHED].lower()
    found = [model for model in apps.get_models() if model._meta.label_lower in text]
    tables = [model._meta.db_table for model in found] or _close_tables(text)
    if tables:
        yield f"Did you mean {tables[0]}?"


def _close_tables(text: str) -> list[str]:
    tables = sorted(catalog.tables())
    words = dict.fromkeys(re.findall(r"\w+", text))
    matches = (get_close_matches(word, tables, 1, 0.8) for word in words if word not in tables)
    return next(filter(None, matches), [])


def _parameters(statement: Statement) -> Iterator[Parameter]:
    named: list[Write | Read] = [*statement.writes, *statement.reads]
    conditions = (condition for each in named for condition in each.conditions)
    rows = (row for write in statement.writes for row in write.rows)
    values = chain(*rows, *(condition.values for condition in conditions))
    return (value for value in values if isinstance(value, Parameter))
