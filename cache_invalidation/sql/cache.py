"""A cache that is bounded in entries and in bytes, and asks for no lock to look something up."""

import sys
from threading import Lock

from cache_invalidation.sql.statement import Dialect, Statement

Key = tuple[str, Dialect, frozenset[str]]

# What a value, a row and the rest of a statement take in memory, roughly.
_BYTES_PER_VALUE = 120
_BYTES_PER_STATEMENT = 1500


class StatementCache:
    """Keeps what was used lately, in two generations of at most `entries` and `size` bytes each.

    When the younger generation is full, it becomes the older one, and the older one is dropped.
    Unlike a list in order of use, this costs one look-up in a dict for a hit.
    """

    def __init__(self, entries: int, size: int) -> None:
        self._entries = entries
        self._size = size
        self._lock = Lock()
        self.clear()

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def clear(self) -> None:
        self._young: dict[Key, Statement] = {}
        self._old: dict[Key, Statement] = {}
        self._bytes = 0
        # Looks up among the young without a call into Python.
        self.get = self._young.get

    def get_older(self, key: Key) -> Statement | None:
        """Return what is only in the older generation, and keep it for another."""
        statement = self._old.get(key)
        if statement is not None:
            self.store(key, statement)
        return statement

    def store(self, key: Key, statement: Statement) -> None:
        cost = _cost(key, statement)
        if cost > self._size // 4:
            return
        with self._lock:
            if self._bytes + cost > self._size or len(self._young) >= self._entries:
                self._old, self._young, self._bytes = self._young, {}, 0
                self.get = self._young.get
            self._young[key] = statement
            self._bytes += cost


def _cost(key: Key, statement: Statement) -> int:
    groups = [write.conditions for write in statement.writes]
    groups += [read.conditions for read in statement.reads]
    values = sum(len(condition.values) + 2 for group in groups for condition in group)
    for write in statement.writes:
        values += len(write.columns) + sum(len(row) + 1 for row in write.rows)
    return sys.getsizeof(key[0]) + _BYTES_PER_STATEMENT + _BYTES_PER_VALUE * values
