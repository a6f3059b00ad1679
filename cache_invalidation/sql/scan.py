"""What a statement may do, judged by its first word and by the names in it."""

from collections.abc import Iterable
from dataclasses import replace
from typing import get_args

from cache_invalidation.sql.names import Names
from cache_invalidation.sql.statement import Kind, Read, Statement, Write

_READING = frozenset({"SELECT", "(", "VALUES", "TABLE", "WITH"})
# Where one of these stands, a text that begins like a query may still write.
_WRITING = frozenset({"INTO", "INSERT", "DELETE", "MERGE", ";"})
_KINDS: dict[str, Kind] = {kind.upper(): kind for kind in get_args(Kind)}
_LOCKING = frozenset({"FOR", "KEY"})


def scan(tokens: Iterable[str], names: Names) -> Statement:
    """Return a statement that reads and writes every known table that is named.

    Only what is certainly a query does not write.
    """
    words = list(tokens)
    first = words[0] if words else ""
    found = names.among(words)
    reads = tuple(Read(table=table) for table in found)
    if first in _READING and _WRITING.isdisjoint(words) and not _updates(words):
        return Statement(reads=reads)
    kind = _KINDS.get(first, "unknown")
    return replace(writes_to(found, kind, reads), returns_rows="RETURNING" in words)


def does_anything(tables: Iterable[str]) -> Statement:
    """Return a statement that may do anything to `tables`, and to others."""
    found = tuple(tables)
    reads = tuple(Read(table=table) for table in found)
    statement = writes_to(found, "unknown", reads)
    return replace(statement, reads_others=True, returns_rows=True)


def writes_to(tables: Iterable[str], kind: Kind, reads: tuple[Read, ...] = ()) -> Statement:
    """Return a statement that may write any row of `tables`."""
    writes = tuple(Write(table=table, kind=kind) for table in tables)
    return Statement(writes=writes, reads=reads, may_write=True)


def _updates(words: list[str]) -> bool:
    """Is there an UPDATE that is not one of ``FOR UPDATE`` and ``FOR NO KEY UPDATE``?"""
    return any(
        word == "UPDATE" and words[index - 1] not in _LOCKING for index, word in enumerate(words)
    )
