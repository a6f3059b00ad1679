"""The facts that an analysis yields."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Dialect = Literal["postgresql", "sqlite", "mysql"]
Kind = Literal[
    "insert",
    "update",
    "delete",
    "truncate",
    "merge",
    "replace",
    "copy",
    "refresh",  # of a materialized view
    "ddl",  # changes what a table is, not only what is in it
    "unknown",
]


@dataclass(frozen=True, slots=True)
class Parameter:
    """The value of ``params[key]``, or each of its elements if it is an array."""

    key: int | str
    is_array: bool = False


Value = Parameter | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Every row concerned has one of these values in this column.

    A column is spelled as between its quotes; one without quotes is in lower case.
    """

    column: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A table that is read. All `conditions` hold for the rows that matter; without any, all do.

    `named` is how the text spells it, part by part and as the database takes it: a schema may be
    among them, and it may be another relation that only ends in the same name. None if that cannot
    be told.
    """

    table: str
    named: tuple[str, ...] | None = None
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """Two tables, by their places, of which rows belong together whose columns are equal.

    Columns are spelled as in `Condition`. `table` is the one that is joined to the others; if that
    `is_outer`, rows without one stay.
    """

    table: int
    column: str
    other: int
    other_column: str
    is_outer: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Joins:
    """How a SELECT joins the tables of which it shows rows; "" for one that is not known.

    Which rows there are does not depend on what is in those that are `free`, but for the joins.
    `shown` are columns, by table and name, and their places in each row.
    """

    tables: tuple[str, ...]
    joins: tuple[Join, ...]
    free: frozenset[int]
    shown: tuple[tuple[int, str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A table that is written, or may be.

    `conditions` hold for the rows as they were; without any, every row may be concerned.
    `columns` and `rows` are what an INSERT stores (one tuple for each row) and what an UPDATE
    assigns (one tuple). None stands for a value that only the database knows. No rows, or no
    columns, means that they cannot be told. An array parameter holds its column for all rows.
    """

    table: str
    kind: Kind
    conditions: tuple[Condition, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Value | None, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What one text of SQL does to the known tables, all its statements together."""

    writes: tuple[Write, ...] = ()
    reads: tuple[Read, ...] = ()
    # May it change anything, in a table that is known or in one that is not?
    may_write: bool = False
    # Does it read a table that is not known?
    reads_others: bool = False
    # Is the number of rows that it reports that of the rows it has written? It is so for one UPDATE
    # or DELETE and nothing else, and for an INSERT that leaves out rows in conflict.
    counts_rows: bool = False
    # Does it return rows that it writes?
    returns_rows: bool = False
    # How the tables are joined of which it shows rows.
    joins: Joins | None = None
    # Names, as `lexer.folded` has them, among which are those of all columns that it reads; None if
    # it may be any column.
    columns: frozenset[str] | None = field(default=None, compare=False)
    # The first word of the text.
    first: str = field(default="", compare=False)
    # Are there several statements in it? Some may be committed although a later one fails.
    is_script: bool = False
    # The first tokens of each of them with which a transaction may begin or end.
    boundaries: tuple[tuple[str, ...], ...] = ()
    # Was it not understood, so that only the names in it count?
    is_guess: bool = field(default=False, compare=False)

    @property
    def tables_written(self) -> frozenset[str]:
        return frozenset(write.table for write in self.writes)

    @property
    def tables_read(self) -> frozenset[str]:
        return frozenset(read.table for read in self.reads)

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of the writes to known tables."""
        return frozenset(write.kind for write in self.writes)


def combine(statements: Iterable[Statement]) -> Statement:
    """Return the statement that does what all of these do."""
    parts = list(statements)
    if len(parts) == 1:
        return parts[0]
    return Statement(
        writes=tuple(dict.fromkeys(write for part in parts for write in part.writes)),
        reads=tuple(dict.fromkeys(read for part in parts for read in part.reads)),
        may_write=any(part.may_write for part in parts),
        reads_others=any(part.reads_others for part in parts),
        returns_rows=any(part.returns_rows for part in parts),
        is_guess=any(part.is_guess for part in parts),
    )
