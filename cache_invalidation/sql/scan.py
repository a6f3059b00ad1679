"""What a statement may do, judged by its first word and by the names in it."""

from collections.abc import Iterable
from dataclasses import replace
from typing import get_args

from cache_invalidation.sql.lexer import words
from cache_invalidation.sql.names import Names
from cache_invalidation.sql.statement import Kind, Read, Statement, Write

_READING = frozenset({"SELECT", "(", "VALUES", "TABLE", "WITH"})
# Where one of these stands, a text that begins like a query may still write.
_WRITING = frozenset({"INTO", "INSERT", "DELETE", "MERGE", ";"})
DEFINING = words("CREATE ALTER DROP RENAME IMPORT")
_KINDS: dict[str, Kind] = {kind.upper(): kind for kind in get_args(Kind)}
_LOCKING = frozenset({"FOR", "KEY"})


def scan(tokens: Iterable[str], names: Names) -> Statement:
    """Return a statement that reads and writes every known table that is named.

    Only what is certainly a query does not write.
    """
    said = list(tokens)
    first = said[0] if said else ""
    found = names.among(said)
    reads = reads_of(found)
    if first in _READING and _WRITING.isdisjoint(said) and not _updates(said):
        return Statement(reads=reads, is_guess=True)
    kind = _KINDS.get(first) or _unknown(said)
    statement = writes_to(_changed(found, kind, names), kind, reads)
    return replace(statement, returns_rows="RETURNING" in said, is_guess=True)


def does_anything(tokens: Iterable[str], names: Names, *, to_any_table: bool = False) -> Statement:
    """Return a statement that may do anything to the tables that are named, and to others.

    To known ones only if it says so, or `to_any_table`, since it need not name them.
    """
    said = list(tokens)
    found = names.among(said)
    kind: Kind = "ddl" if to_any_table else _unknown(said)
    changed = names.known if to_any_table else _changed(found, kind, names)
    statement = writes_to(changed, kind, reads_of(found))
    return replace(statement, reads_others=True, returns_rows=True, is_guess=True)


def _changed(found: list[str], kind: Kind, names: Names) -> list[str]:
    """Return the tables that may change: a definition that names none may be about any of them."""
    return found or (names.known if kind == "ddl" else [])


def _unknown(said: Iterable[str]) -> Kind:
    """Return the kind of what is not understood: it may define what it names, or not."""
    return "unknown" if DEFINING.isdisjoint(each.upper() for each in said) else "ddl"


def reads_of(tables: Iterable[str]) -> tuple[Read, ...]:
    """Return what reads any row of `tables`."""
    return tuple(Read(table=table) for table in tables)


def writes_to(tables: Iterable[str], kind: Kind, reads: tuple[Read, ...] = ()) -> Statement:
    """Return a statement that may write any row of `tables`."""
    writes = tuple(Write(table=table, kind=kind) for table in tables)
    return Statement(writes=writes, reads=reads, may_write=True)


def _updates(said: list[str]) -> bool:
    """Is there an UPDATE that is not one of ``FOR UPDATE`` and ``FOR NO KEY UPDATE``?"""
    return any(
        word == "UPDATE" and said[index - 1] not in _LOCKING for index, word in enumerate(said)
    )
