"""How a way of writing is declared: the matrix is made of these, and so is its page in the docs."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final, Literal

from tests.coverage_matrix.world import Target, World

Seen = Literal["save", "signal", "queryset", "statement"]
Goes = Literal["nothing", "relation", "relations", "row", "rows", "table", "everything"]
Database = Literal["PostgreSQL", "SQLite"]

DATABASES: Final[dict[Database, str]] = {"PostgreSQL": "default", "SQLite": "sqlite"}
SECOND: Final[dict[Database, str]] = {"PostgreSQL": "other", "SQLite": "default"}

AUTOCOMMIT: Final = (False,)
#: The shapes that show the values of an item, whatever its relations.
VALUES: Final = frozenset({"row", "rows", "aggregate", "join", "tracked", "tagged"})
#: Those that show the values of the item that has all relations.
UPDATED: Final = VALUES | {"many_to_many"}
#: Those that show that it is gone, and what hangs on it.
DELETED: Final = UPDATED | {"many_to_many_reverse", "through", "generic"}
#: Those that show the values of a multi-table child.
SPECIAL: Final = VALUES | {"child"}
LABELED: Final = frozenset({"many_to_many", "many_to_many_reverse"})


@dataclass(frozen=True, kw_only=True)
class But:
    """What goes instead, where it differs: in one database, in one mode, with or without a rule."""

    goes: Goes
    database: Database | None = None
    atomic: bool | None = None
    rule: bool | None = None

    def applies(self, database: Database, atomic: bool, rule: bool) -> bool:
        return all(
            wanted is None or wanted == given
            for wanted, given in (
                (self.database, database),
                (self.atomic, atomic),
                (self.rule, rule),
            )
        )


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way of writing.

    `seen` is by what, `goes` is what is dropped:

    - "relation": what shows the relation, and what the rule of the item names;
    - "relations": what shows the relation, and what the rule of any item names;
    - "row": what depends on the rows that are written, by key or by the value of a column;
    - "rows": what depends on any row by its key, but of values only those that are written;
    - "table": what depends on any row;
    - "everything": what depends on any table;
    - "nothing".

    Both are for a model without a rule; for one whose rule looks at values they are `seen_by_rule`
    and `goes_by_rule`. `but` are exceptions. `changes` are exactly the shapes whose value differs
    afterwards, if `target` is the row that is looked at. Where it `lingers`, nothing is cached in
    autocommit before the fence has lapsed.
    """

    write: Callable[[World], object]
    title: str
    seen: Seen
    goes: Goes
    seen_by_rule: Seen
    goes_by_rule: Goes
    but: tuple[But, ...]
    changes: frozenset[str]
    target: Target
    databases: tuple[Database, ...]
    # In a transaction, and not.
    modes: tuple[bool, ...]
    second: bool
    since: tuple[int, int] | None
    lingers: Database | None
    note: str
    # Whether the rest of the transaction reads around the cache.
    blind: bool
    # Whether one mode is enough for each database.
    few: bool

    @property
    def name(self) -> str:
        return self.write.__name__

    def __str__(self) -> str:
        return self.name

    def drops(self, database: Database, *, atomic: bool, rule: bool) -> Goes:
        for but in self.but:
            if but.applies(database, atomic, rule):
                return but.goes
        return self.goes_by_rule if rule else self.goes

    def alias(self, database: Database) -> str:
        return (SECOND if self.second else DATABASES)[database]


@dataclass
class Section:
    """The ways of one module, under one heading of the page."""

    title: str
    note: str = ""
    blind: bool = False
    few: bool = False
    ways: list[Way] = field(default_factory=list)

    def way(
        self,
        title: str,
        *,
        seen: Seen,
        goes: Goes = "row",
        seen_by_rule: Seen | None = None,
        goes_by_rule: Goes | None = None,
        but: tuple[But, ...] = (),
        lingers: Database | None = None,
        changes: Collection[str] = UPDATED,
        target: Target = "item",
        databases: tuple[Database, ...] = ("PostgreSQL", "SQLite"),
        modes: tuple[bool, ...] = (False, True),
        second: bool = False,
        since: tuple[int, int] | None = None,
        note: str = "",
    ) -> Callable[[Callable[[World], object]], Callable[[World], object]]:
        def decorate(write: Callable[[World], object]) -> Callable[[World], object]:
            self.ways.append(
                Way(
                    write=write,
                    title=title,
                    seen=seen,
                    goes=goes,
                    seen_by_rule=seen_by_rule or seen,
                    goes_by_rule=goes_by_rule or goes,
                    but=but,
                    lingers=lingers,
                    changes=frozenset(changes),
                    target=target,
                    databases=databases,
                    modes=modes,
                    second=second,
                    since=since,
                    note=note,
                    blind=self.blind,
                    few=self.few,
                )
            )
            return write

        return decorate
