"""The names of the known tables, as SQL may spell them."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from cache_invalidation.sql.lexer import name_of, unquote
from cache_invalidation.sql.statement import Condition, Read

# PostgreSQL cuts longer names off, in what it stores and in what it is told.
_LENGTH: Final = 63  # bytes
_QUOTED: Final = {
    quote: re.compile(f"{quote}(?:[^{quote}]|{quote}{quote})*+{quote}") for quote in '"`'
}


class Names:
    """Finds known tables by the last part of their name, in any case.

    Which schema an unqualified name means, and whether case counts, depends on the connection; to
    take one table for another costs an invalidation too many, to miss one costs a stale value.
    """

    def __init__(self, known: frozenset[str]) -> None:
        self.known = sorted(known)
        self._by_name: dict[str, tuple[str, ...]] = {}
        for table in self.known:
            for name in {_fold(parts(table, quote)[-1]) for quote in _QUOTED}:
                self._by_name[name] = (*self._by_name.get(name, ()), table)

    def tables(self, name: str) -> tuple[str, ...]:
        """Return the known tables that `name` may mean; usually one or none."""
        return self._by_name.get(_fold(name), ())

    def reads(
        self, named: tuple[str, ...], conditions: tuple[Condition, ...] = ()
    ) -> Iterator[Read]:
        """Yield what is read of the known tables that a name of these parts may mean."""
        for table in self.tables(named[-1]):
            yield Read(table=table, named=named, conditions=conditions)

    def among(self, tokens: Iterable[str]) -> list[str]:
        """Return the known tables that are named by any of `tokens`."""
        found = dict.fromkeys(
            table
            for token in set(tokens)
            if (name := name_of(token)) is not None
            for table in self.tables(name)
        )
        return sorted(found)


def parts(table: str, quote: str = '"') -> tuple[str, ...]:
    """Return the names that `table` is made of: schema and table, mostly the table alone.

    Django puts what `db_table` says into quotes, so that ``reporting"."monthly`` names a schema and
    ``odd.name`` does not.
    """
    is_quoted = len(table) > 1 and table[0] == table[-1] == quote
    text = table if is_quoted else f"{quote}{table}{quote}"
    found: list[str] = []
    end = -1
    for match in _QUOTED[quote].finditer(text):
        if text[end : match.start()] != "." and found:
            break
        found.append(unquote(match[0]))
        end = match.end()
    # What is not well-formed is one name.
    return tuple(found) if end == len(text) else (unquote(text),)


def _fold(name: str) -> str:
    # Through upper case, as words without quotes have been, so that "ß" is "ss" in both.
    if len(name) * 4 > _LENGTH:
        name = name.encode(errors="replace")[:_LENGTH].decode(errors="ignore")
    return name.upper().lower()


@lru_cache(maxsize=16)
def names_for(known: frozenset[str]) -> Names:
    return Names(known)
