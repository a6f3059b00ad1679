"""What a name stands for in a database."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

from cache_invalidation.rules.catalog import Comparison

#: How a table is named in a statement, part by part: the schema, where it is named, and the table.
Name = tuple[str, ...]


class NotTold(Exception):
    """The database cannot be asked now: its transaction is broken, or it is busy."""


@dataclass(frozen=True, slots=True)
class Column:
    """How a column compares, as Python does, and how many characters it keeps; None for any."""

    comparison: Comparison
    limit: int | None = None

    def keeps(self, length: int | None) -> bool:
        """Whether it keeps each text of at most `length`. Of others, PostgreSQL cuts off spaces."""
        return self.limit is None or (length is not None and length <= self.limit)


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key of one column, which the database holds to: there is such a row, or it is NULL.

    Names are as the database spells them: another can differ in case alone.
    """

    column: str
    table: str
    target: str
    is_nullable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A table, or what stands in the place of one.

    `instead` says what it is if it is no table of its own, whose rows are the same for everybody
    and change only by being written under its name. `columns` are those that compare as Python
    does, by their names in lower case; None if nobody looked. Rows of the table can also be written
    under the names `relatives`: those of partitions, of tables that inherit from it or from which
    it does, and of views. `keys` are columns of which each value is in one row at most, and
    `references` the foreign keys. Where it `has_triggers`, or rules, rows may be stored in another
    way than a statement says.
    """

    instead: str = ""
    columns: Mapping[str, Column] | None = field(default_factory=dict)
    relatives: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    references: frozenset[Reference] = frozenset()
    has_triggers: bool = False

    def is_key(self, column: str | None) -> bool:
        """Whether each value of a column is in one row at most."""
        return self.columns is None or column in self.keys

    def reference(self, column: str, table: str, target: str) -> Reference | None:
        """Return the foreign key from `column` to `target` in `table`, if there is one."""
        wanted = column, table, target
        return next((r for r in self.references if (r.column, r.table, r.target) == wanted), None)

    def compares(
        self, column: str | None, comparison: Comparison | None, length: int | None = None
    ) -> bool:
        """Whether values of a column are equal to the database if and only if they are here.

        They are compared as `comparison` says, and texts are not longer than `length`.
        """
        if comparison is None:
            return False
        if self.columns is None:
            return True
        found = self.columns.get((column or "").lower())
        return found is not None and found.comparison == comparison and found.keeps(length)


#: Where the database cannot be asked, it is what the models say.
AS_DECLARED: Final = Relation(columns=None)
ABSENT: Final = Relation(instead="missing relation")
UNTOLD: Final = Relation(instead="relation of unknown kind")


class Candidates:
    """The relations that a name may mean, in the order in which the database looks for it."""

    def __init__(self, found: list[Relation]) -> None:
        self.found = found

    def meant(self, connection: BaseDatabaseWrapper) -> Relation:
        """Return the one that is meant by the name on `connection`: the first one."""
        return self.found[0] if self.found else ABSENT


def only_unequal(columns: Mapping[str, Column | None]) -> dict[str, Column]:
    """Return the columns that compare as Python does, by name in lower case.

    Those whose names differ in nothing but case are left out: statements are understood without it.
    """
    found: dict[str, Column | None] = {}
    for name, column in columns.items():
        folded = name.lower()
        found[folded] = None if folded in found else column
    return {name: column for name, column in found.items() if column is not None}
