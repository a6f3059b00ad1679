"""Which of the tables that a query joins are asked for rows by primary key.

Of these a value depends on the rows, which are known once the query has shown them, instead of the
table: `select_related`, a prefetch over many-to-many, a join to a parent.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from cache_invalidation.observing.relations import Relation
from cache_invalidation.observing.tags_read import compares, reads_volatile
from cache_invalidation.rules import catalog
from cache_invalidation.sql import Join, Joins, Read, Statement
from cache_invalidation.tags import (
    every_row_tag,
    model_tag,
    row_tag,
    rows_alone_tag,
    shorten,
    with_volatile,
)

# Each row makes a hit a bit slower.
ROWS_JOINED_LIMIT: Final = 50

RelationOf = Callable[[Read], Relation]


@dataclass(frozen=True, slots=True)
class Joined:
    """A table of `model` whose rows are asked for by key, and the place of that in a result's rows.

    It is NULL where nothing is asked for. `reads_volatile` is whether a volatile field of these may
    be read.
    """

    model: type[Model]
    place: int
    reads_volatile: bool = False

    @property
    def table_tags(self) -> frozenset[str]:
        """The tags for any row of the table."""
        return self._read({model_tag(self.model)})

    def tags(
        self, rows: Sequence[Sequence[Any]], connection: BaseDatabaseWrapper
    ) -> frozenset[str] | None:
        """Return the tags of the rows that were asked for; None if they are not to be told."""
        if rows and self.place >= len(rows[0]):
            return None  # It was asked for because of DISTINCT, and cut off.
        field: Any = self.model._meta.pk
        values = {row[self.place] for row in rows if row[self.place] is not None}
        if len(values) > ROWS_JOINED_LIMIT:
            return None
        keys = [catalog.as_in_tags(field, value, connection.vendor) for value in values]
        if None in keys:
            return None
        return self._read(shorten(row_tag(self.model, key)) for key in keys)

    @property
    def row_unknown_tags(self) -> frozenset[str]:
        """The tags for the row of which it is not known which it is."""
        return self._read({every_row_tag(self.model)})

    @property
    def conditions(self) -> frozenset[str]:
        """Tags of which one is dropped with any row of the table."""
        return self._read({model_tag(self.model), rows_alone_tag(self.model)})

    def _read(self, tags: Iterable[str]) -> frozenset[str]:
        return with_volatile(tags) if self.reads_volatile else frozenset(tags)


def joined_by_key(
    statement: Statement, connection: BaseDatabaseWrapper, relation_of: RelationOf
) -> Iterator[Joined]:
    """Yield the tables that `statement` asks for rows by key, and shows which.

    Leaf by leaf: whatever hangs on such a table must be one as well, or it decides which rows there
    are.
    """
    if statement.joins is None:
        return
    reads = {read.table: read for read in statement.reads}
    tree = _Tree(statement.joins, connection, lambda table: relation_of(reads[table]))
    for found in tree.leaves():
        yield replace(found, reads_volatile=reads_volatile(statement, found.model))


class _Tree:
    """Tables and joins that are left."""

    def __init__(
        self, joins: Joins, connection: BaseDatabaseWrapper, relation_of: Callable[[str], Relation]
    ) -> None:
        self._tables = joins.tables
        self._connection = connection
        self._relation_of = relation_of
        self._joins = list(joins.joins)
        self._free = set(joins.free)
        # Those without whose rows there are none.
        self._needed: set[int] = set()
        self._shown = {(table, column): place for table, column, place in joins.shown}

    def leaves(self) -> Iterator[Joined]:
        """Take off one leaf after the other, beginning with what is joined last."""
        while (found := self._leaf()) is not None:
            yield found

    def _leaf(self) -> Joined | None:
        for table in sorted(self._free, reverse=True):
            around = [join for join in self._joins if table in (join.table, join.other)]
            if len(around) == 1 and (found := self._by_key(table, around[0])) is not None:
                self._free.discard(table)
                self._joins.remove(around[0])
                return found
        return None

    def _by_key(self, table: int, join: Join) -> Joined | None:
        column, other, other_column = join.column, join.other, join.other_column
        if table == join.other:
            if join.is_outer:
                return None  # All of its rows are there.
            column, other, other_column = join.other_column, join.table, join.column
        name = self._tables[table]
        model = self._keyed_by(column, name)
        keyed, asking = self._relation(table), self._relation(other)
        if model is None or keyed is None or asking is None:
            return None
        if not self._are_keys(model, keyed, asking, other_column):
            return None
        reference = asking.reference(other_column, name, column)
        place = self._shown.get((other, other_column))
        if place is None and reference is not None:
            place = self._shown.get((table, column))
        if place is None:
            return None
        if not join.is_outer or table in self._needed:
            if reference is None:
                return None  # A row may come that was asked for and not there, and is not shown.
            self._needed.add(other)
            if reference.is_nullable:
                self._free.discard(other)  # Rows that ask for nothing are not shown.
        return Joined(model, place)

    def _relation(self, table: int) -> Relation | None:
        """Return what a table is in the database, if it is one, and no part of another."""
        name = self._tables[table]
        found = self._relation_of(name) if name else None
        return None if found is None or found.instead or found.relatives else found

    def _are_keys(self, model: type[Model], keyed: Relation, asking: Relation, column: str) -> bool:
        """Whether one row of `keyed` has what `column` asks for, and tags say which."""
        key = model._meta.pk
        return (
            keyed.is_key(key.column)
            and compares(key, keyed, self._connection)
            and compares(key, asking, self._connection, column)
        )

    def _keyed_by(self, column: str, table: str) -> type[Model] | None:
        """Return the model whose rows are in `table` and have their primary key in `column`."""
        models = catalog.models_by_table().get(table, ())
        if len(models) != 1 or catalog.is_excluded(models[0]):
            return None
        keys = [field.column for field in models[0]._meta.pk_fields]
        return models[0] if keys == [column] else None
