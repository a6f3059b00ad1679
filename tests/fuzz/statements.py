"""One statement as it is sent by hand, with parameters in all styles."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from tests.fuzz.schemas import literal

STYLES = ("literal", "positional", "named")


@dataclass(frozen=True)
class Sql:
    """A statement with ``{}`` for each of `values`, and the style in which these are given."""

    text: str
    values: tuple[Any, ...]
    style: str = "literal"
    # Further sets of values, for `executemany`.
    more: tuple[tuple[Any, ...], ...] = ()
    # What it returns is read to the end. An unfinished cursor is among the limits on SQLite.
    fetch: bool = False
    # It takes a lock that keeps readers out, and must not stay open.
    alone: bool = False

    def __repr__(self) -> str:
        many = f" and {self.more!r}" if self.more else ""
        return f"<{self.style} {self.text!r} with {self.values!r}{many}>"

    def run(self, alias: str) -> None:
        connection = connections[alias]
        if self.alone and connection.in_atomic_block:
            return
        with connection.cursor() as cursor:
            if self.style == "literal":
                cursor.execute(self.text.format(*map(literal, self.values)))
            elif self.more:
                text = self.text.format(*["%s"] * len(self.values))
                with self._block_for_many(connection):
                    cursor.executemany(text, [self.values, *self.more])
            elif self.style == "named":
                names = [f"p{number}" for number in range(len(self.values))]
                text = self.text.format(*(f"%({name})s" for name in names))
                cursor.execute(text, dict(zip(names, self.values, strict=True)))
            else:
                cursor.execute(self.text.format(*["%s"] * len(self.values)), self.values)
            if self.fetch:
                cursor.fetchall()

    def _block_for_many(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[Any]:
        """Return a transaction if the statement may be refused when it is committed.

        psycopg is not usable any more, now and then, after `executemany` has failed in autocommit.
        """
        may_be_refused = not self.text.startswith("UPDATE")
        if connection.vendor == "postgresql" and may_be_refused:
            return transaction.atomic(connection.alias)
        return nullcontext()


def is_exclusive(write: object) -> bool:
    """Whether it needs a table for itself."""
    return isinstance(write, Sql) and write.alone
