"""Asking SQLite, in its schema tables, what a name stands for."""

from collections.abc import Collection, Iterator
from contextlib import closing
from functools import lru_cache
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from cache_invalidation.observing.relations.relation import (
    Candidates,
    Column,
    Name,
    Relation,
    only_unequal,
)
from cache_invalidation.sql.conditions import closing as closing_bracket
from cache_invalidation.sql.conditions import split
from cache_invalidation.sql.lexer import name_of, tokenize

_TEXTUAL: Final = ("CHAR", "CLOB", "TEXT")
_FLOATING: Final = ("REAL", "FLOA", "DOUB")


def candidates(connection: BaseDatabaseWrapper, name: Name) -> Candidates:
    """Return what `name` may mean.

    Views have no part in what is written to a table: only triggers could write through them.
    Foreign keys are not told of: SQLite holds to them only while each connection asks for it, so
    there can be some that point nowhere.
    """
    with closing(connection.create_cursor()) as cursor:
        return Candidates(
            [
                _relation(cursor, schema, *row)
                for schema in list(_schemas(cursor, name))
                for row in _rows(
                    cursor,
                    f"SELECT name, type, sql FROM {schema}.sqlite_master"  # noqa: S608
                    " WHERE name = %s COLLATE NOCASE AND type IN ('table', 'view')",
                    [name[-1]],
                )
            ]
        )


def types(connection: BaseDatabaseWrapper, name: str) -> list[tuple[str, str]]:
    """Return the types that the columns of the table `name` are declared with."""
    with closing(connection.create_cursor()) as cursor:
        listed = _rows(cursor, f"PRAGMA table_xinfo({_quoted(name)})")
    return [(column, declared) for _, column, declared, *_ in listed]


def does_more(connection: BaseDatabaseWrapper, name: str, computed: Collection[str]) -> bool:
    """Whether `name` is no table, or has triggers or computed columns besides `computed`."""
    with closing(connection.create_cursor()) as cursor:
        listed = _rows(cursor, f"PRAGMA table_xinfo({_quoted(name)})")
        return any(hidden and column not in computed for _, column, *_, hidden in listed) or any(
            _rows(
                cursor,
                f"SELECT 1 FROM {schema}.sqlite_master WHERE tbl_name = %s COLLATE NOCASE"  # noqa: S608
                " AND (type IN ('trigger', 'view') OR sql LIKE 'CREATE VIRTUAL%%')",
                [name],
            )
            for schema in list(_schemas(cursor, (name,)))
        )


def _schemas(cursor: Any, name: Name) -> Iterator[str]:
    """Yield the databases to look into, quoted, in order."""
    listed = [row[1] for row in _rows(cursor, "PRAGMA database_list")]
    for schema in dict.fromkeys(["temp", *listed]):
        if len(name) == 1 or name[-2].lower() == schema.lower():
            yield _quoted(schema)


def _relation(cursor: Any, schema: str, name: str, kind: str, sql: str) -> Relation:
    if kind == "view":
        return Relation(instead="view")
    if name.lower().startswith("sqlite_"):
        return Relation(instead="system table")
    tokens = tokenize(sql, "sqlite")
    if tokens[:2] == ["CREATE", "VIRTUAL"]:
        return Relation(instead="virtual table")
    if schema == _quoted("temp"):
        return Relation(instead="temporary table")
    described = _rows(cursor, f"PRAGMA {schema}.table_list({_quoted(name)})")
    if any(kind == "shadow" for _, _, kind, *_ in described):
        return Relation(instead="part of a virtual table")
    if " ON CONFLICT REPLACE" in " ".join(tokens):
        return Relation()  # A write to one row may take another one away, whichever is asked for.
    listed = _rows(cursor, f"PRAGMA {schema}.table_xinfo({_quoted(name)})")
    collated = _compared_by_bytes(sql)
    key = [column for _, column, _, _, _, place, *_ in listed if place]
    return Relation(
        columns=only_unequal(
            {
                column: _column(declared, column.lower() in collated)
                for _, column, declared, *_ in listed
            }
        ),
        keys=frozenset(key if len(key) == 1 else ()),
        has_triggers=any(_triggers(cursor, name)),
    )


def _triggers(cursor: Any, name: str) -> Iterator[Any]:
    """Yield triggers on whatever is called `name`: one in `temp` may be about another table."""
    for schema in list(_schemas(cursor, (name,))):
        yield from _rows(
            cursor,
            f"SELECT name FROM {schema}.sqlite_master"  # noqa: S608
            " WHERE tbl_name = %s COLLATE NOCASE AND type = 'trigger'",
            [name],
        )


def _column(declared: str, is_compared_by_bytes: bool) -> Column | None:
    """Return how values of the type that was declared are compared."""
    match affinity(declared):
        case "integer":
            return Column("integer")
        case "text" if is_compared_by_bytes:
            return Column("text")
    return None


def affinity(declared: str) -> str:
    """Return by which rule values are converted for a column of the type that was declared.

    See "Determination Of Column Affinity" in SQLite's documentation of datatypes.
    """
    name = declared.upper()
    if "INT" in name:
        return "integer"
    if any(word in name for word in _TEXTUAL):
        return "text"
    if not name or "BLOB" in name:
        return "blob"
    return "real" if any(word in name for word in _FLOATING) else "numeric"


@lru_cache(maxsize=1024)
def _compared_by_bytes(sql: str) -> frozenset[str]:
    """Return the columns that a CREATE TABLE defines without a collation of their own."""
    tokens = tokenize(sql, "sqlite")
    if "(" not in tokens:
        return frozenset()
    tokens = tokens[tokens.index("(") :]
    defined: dict[bool, set[str]] = {True: set(), False: set()}
    for definition in split(tokens[1 : closing_bracket(tokens)], ","):
        if definition:
            defined["COLLATE" in definition].add((name_of(definition[0]) or "").lower())
    return frozenset(defined[False] - defined[True])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _rows(cursor: Any, sql: str, params: Any = None) -> list[Any]:
    cursor.execute(sql, params)
    return list(cursor.fetchall())
