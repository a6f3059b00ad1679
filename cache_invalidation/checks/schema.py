"""What a database does by itself, and no statement tells."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from django.core.checks import Tags, Warning
from django.db import connections
from django.db.models import ForeignKey

from cache_invalidation.checks.registering import Messages, register
from cache_invalidation.observing.cascades import is_left
from cache_invalidation.rules.catalog import is_watched, models_by_table
from cache_invalidation.sql.names import parts


class Action(NamedTuple):
    """What a foreign key of a table does to its rows when the row that they refer to changes."""

    table: str
    column: str
    refers_to: str
    on_delete: str
    on_update: str

    @property
    def name(self) -> str:
        return f"{self.table}.{self.column}"


# Of a constraint, the first column is enough to find the field.
_POSTGRES_ACTIONS = """
    SELECT t.relname, a.attname, r.relname, c.confdeltype, c.confupdtype
    FROM pg_constraint c
    JOIN pg_class t ON t.oid = c.conrelid
    JOIN pg_class r ON r.oid = c.confrelid
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = c.conkey[1]
    WHERE c.contype = 'f' AND pg_table_is_visible(t.oid)
      AND (c.confdeltype IN ('c', 'n', 'd') OR c.confupdtype IN ('c', 'n', 'd'))
"""
_POSTGRES_TRIGGERS = """
    SELECT t.relname FROM pg_trigger g JOIN pg_class t ON t.oid = g.tgrelid
    WHERE NOT g.tgisinternal AND g.tgenabled <> 'D' AND pg_table_is_visible(t.oid)
    UNION
    SELECT t.relname FROM pg_rewrite r JOIN pg_class t ON t.oid = r.ev_class
    WHERE r.rulename <> '_RETURN' AND pg_table_is_visible(t.oid)
"""
_SQLITE_ACTIONS = """
    SELECT t.name, k."from", k."table", k.on_delete, k.on_update
    FROM sqlite_master t JOIN pragma_foreign_key_list(t.name) k
    WHERE t.type = 'table' AND (k.on_delete <> 'NO ACTION' OR k.on_update <> 'NO ACTION')
"""
_SQLITE_TRIGGERS = "SELECT DISTINCT tbl_name FROM sqlite_master WHERE type = 'trigger'"
_QUERIES = {
    "postgresql": (_POSTGRES_ACTIONS, _POSTGRES_TRIGGERS),
    "sqlite": (_SQLITE_ACTIONS, _SQLITE_TRIGGERS),
}
# How PostgreSQL and SQLite spell what changes rows.
_CHANGING = {"c", "n", "d", "CASCADE", "SET NULL", "SET DEFAULT"}


@register(Tags.database)
def check_schema(databases: Sequence[str] | None = None, **kwargs: Any) -> Messages:
    """W021 and W022: foreign keys and triggers by which the database writes on its own account."""
    for alias in databases or ():
        with suppress(Exception):  # A database that is down is none's mistake.
            yield from _check(alias)


def _check(alias: str) -> Messages:
    connection = connections[alias]
    if connection.vendor not in _QUERIES:
        return
    actions, triggers = _QUERIES[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(actions)
        silent = sorted(each.name for each in map(Action._make, cursor) if _is_silent(each))
        cursor.execute(triggers)
        triggered = sorted(table for (table,) in cursor if _holds_watched_rows(table))
    if silent:
        yield Warning(
            f"The database {alias!r} changes rows by itself when those that they refer to are "
            f"deleted or change their keys, and the models do not say so: {', '.join(silent)}.",
            hint="What raw SQL does to them is not seen. Say it with on_delete (DB_CASCADE, "
            "DB_SET_NULL, DO_NOTHING) of a foreign key to a model of the other table, or take the "
            "action out of the constraint.",
            id="cache_invalidation.W021",
        )
    if triggered:
        yield Warning(
            f"In the database {alias!r} there are triggers or rules on {', '.join(triggered)}. "
            "What they write is not seen.",
            hint="If they write to tables that something cached reads, invalidate these in the "
            "same transaction: invalidate(Model). If they do not, silence this check.",
            id="cache_invalidation.W022",
        )


def _holds_watched_rows(table: str) -> bool:
    return any(is_watched(model) for model in models_by_table().get(table, ()))


def _is_silent(action: Action) -> bool:
    """Whether the database does what the field that is behind the constraint does not say."""
    if not _holds_watched_rows(action.table):
        return False
    if action.on_update in _CHANGING:
        return True
    return action.on_delete in _CHANGING and not any(
        isinstance(field, ForeignKey)
        and field.column == action.column
        and is_left(field.remote_field)
        and parts(field.remote_field.model._meta.db_table)[-1] == action.refers_to
        for model in models_by_table()[action.table]
        for field in model._meta.local_concrete_fields
    )
