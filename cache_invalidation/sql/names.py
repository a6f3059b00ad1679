"""The names of the known tables, as SQL may spell them."""

from collections.abc import Iterable
from functools import lru_cache

from cache_invalidation.sql.lexer import name_of


class Names:
    """Finds known tables by the last part of their name, in any case.

    Which schema an unqualified name means, and whether case counts, depends on the connection; to
    take one table for another costs an invalidation too many, to miss one costs a stale value.
    """

    def __init__(self, known: frozenset[str]) -> None:
        self._by_name: dict[str, tuple[str, ...]] = {}
        for table in sorted(known):
            name = table.rpartition(".")[2].strip('"`')
            self._by_name[_fold(name)] = (*self.tables(name), table)

    def tables(self, name: str) -> tuple[str, ...]:
        """Return the known tables that `name` may mean; usually one or none."""
        return self._by_name.get(_fold(name), ())

    def among(self, tokens: Iterable[str]) -> list[str]:
        """Return the known tables that are named by any of `tokens`."""
        found = dict.fromkeys(
            table
            for token in set(tokens)
            if (name := name_of(token)) is not None
            for table in self.tables(name)
        )
        return sorted(found)


def _fold(name: str) -> str:
    # Through upper case, as words without quotes have been, so that "ß" is "ss" in both.
    return name.upper().lower()


@lru_cache(maxsize=16)
def names_for(known: frozenset[str]) -> Names:
    return Names(known)
