"""Writes as SQL, in the forms that one writes by hand."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.db import connections
from hypothesis import strategies as st

from tests.fuzz.schemas import UNREAD, Schema, Table, local_columns, stored
from tests.fuzz.statements import STYLES, Sql


def raw_writes(schema: Schema, table: Table) -> st.SearchStrategy[Sql]:
    """Return a strategy for statements that write to `table`."""
    return st.one_of(list(_Writer(schema, table).all()))


class _Writer:
    def __init__(self, schema: Schema, table: Table) -> None:
        self.schema, self.alias, self.table = schema, schema.alias, table
        self.connection = connections[schema.alias]
        self.is_postgres = self.connection.vendor == "postgresql"
        self.name = self._quote(table.model._meta.db_table)
        self.key = self._quote(str(table.model._meta.pk.column))
        self.columns = {name: self._quote(column) for name, column in local_columns(table)}
        self.pk = table.model._meta.pk.attname
        # One column that can be assigned, and asked for.
        self.some = table.number

    def _quote(self, name: str) -> str:
        return str(self.connection.ops.quote_name(name))

    def _pool(self, name: str) -> tuple[Any, ...]:
        pool = self.table.pool(name)
        return tuple(stored(self.table, name, value, self.alias) for value in pool)

    def _stored_keys(self) -> st.SearchStrategy[Any]:
        return st.sampled_from(self._pool(self.pk))

    def _conditions(self) -> st.SearchStrategy[tuple[str, tuple[Any, ...]]]:
        """Return a strategy for conditions, each with the values that it needs."""
        key, column = self.key, self.columns[self.some]
        keys, numbers = self._stored_keys(), st.sampled_from((0, 1, 2))
        found: list[st.SearchStrategy[tuple[str, tuple[Any, ...]]]] = [
            self._having(f"{key} = {{}}", keys),
            self._having(f"{key} = {{}}", keys),
            self._having(f"{self.name}.{key} = {{}} AND {column} >= {{}}", keys, numbers),
            self._having(f"{key} IN ({{}}, {{}})", keys, keys),
            self._having(f"{key} = {{}} OR {column} = {{}}", keys, numbers),
            self._having(f"NOT {key} = {{}}", keys),
            self._having(f"({key} <> {{}})", keys),
            self._having(f"{column} BETWEEN {{}} AND {{}}", numbers, numbers),
            self._having(f"{column} = {{}}", numbers),
            self._having(f"{column} + 1 > {{}} AND ({key} = {{}})", numbers, keys),
            self._having("1 = 1"),
            self._having(
                f"{key} = CASE WHEN {column} = {{}} THEN {{}} ELSE {key} END", numbers, keys
            ),
            self._having(
                f"{key} IN (SELECT {key} FROM {self.name} AS other WHERE other.{column} < {{}})",
                numbers,
            ),
        ]
        for name, target in self.table.relations.items():
            if f"{name}_id" not in self.columns:
                continue
            column = self.columns[f"{name}_id"]
            found.append(self._having(f"{column} = {{}}", st.sampled_from(self._known(name))))
            relation = self.table.column(name)
            theirs = self._quote(target.model._meta.db_table)
            there = self._quote(relation.target_field.column)
            number = self._quote(target.column(target.number).column)
            found.append(
                self._having(
                    f"EXISTS (SELECT 1 FROM {theirs} AS z WHERE z.{there} = {self.name}.{column} "
                    f"AND z.{number} = {{}})",
                    numbers,
                )
            )
        return st.one_of(found)

    def _known(self, name: str) -> list[Any]:
        return [value for value in self._pool(f"{name}_id") if value is not None]

    def _having(
        self, text: str, *values: st.SearchStrategy[Any]
    ) -> st.SearchStrategy[tuple[str, tuple[Any, ...]]]:
        return st.tuples(*values).map(lambda drawn: (text, drawn))

    def _assignments(self) -> st.SearchStrategy[tuple[str, tuple[Any, ...]]]:
        found = [
            self._having(f"{column} = {{}}", st.sampled_from(self._pool(name)))
            for name, column in self.columns.items()
            if name != self.pk
        ]
        column = self.columns[self.some]
        found.append(self._having(f"{column} = {column} + 1"))
        found.append(self._having(f"{self.key} = {{}}", self._stored_keys()))  # It is another row.
        if UNREAD in self.columns:
            unread, numbers = self.columns[UNREAD], st.sampled_from((0, 1, 2))
            found.append(self._having(f"{unread} = {{}}", numbers))
            found.append(self._having(f"{unread} = {{}}, {column} = {{}}", numbers, numbers))
        if "s" in self.columns:
            other = self.columns["s"]
            found.append(self._having(f"{column} = {{}}, {other} = 'b'", st.sampled_from((0, 1))))
        return st.one_of(found)

    def _rows(self, number: int) -> st.SearchStrategy[tuple[tuple[Any, ...], ...]]:
        row = st.tuples(*(st.sampled_from(self._pool(name)) for name in self.columns))
        return st.lists(row, min_size=1, max_size=number).map(tuple)

    def _insert(self) -> str:
        return f"INSERT INTO {self.name} ({', '.join(self.columns.values())}) VALUES "

    def all(self) -> Iterator[st.SearchStrategy[Sql]]:
        yield from self._updates()
        yield from self._deletes()
        yield from self._inserts()
        yield from self._selections()
        yield from self._across_tables()
        yield from self._many()
        if self.is_postgres:
            yield from self._of_postgres()

    def _updates(self) -> Iterator[st.SearchStrategy[Sql]]:
        styles = st.sampled_from(STYLES)
        parts = st.tuples(self._assignments(), self._conditions(), styles)
        yield parts.map(
            lambda p: self._sql("UPDATE {name} SET ", p[0], " WHERE ", p[1], style=p[2])
        )
        yield parts.map(
            lambda p: self._sql(
                "UPDATE {name} SET ", p[0], " WHERE ", p[1], " RETURNING {key}", style=p[2]
            )
        )

    def _deletes(self) -> Iterator[st.SearchStrategy[Sql]]:
        parts = st.tuples(self._conditions(), st.sampled_from(STYLES))
        yield parts.map(lambda p: self._sql("DELETE FROM {name} WHERE ", p[0], style=p[1]))
        yield parts.map(
            lambda p: self._sql("DELETE FROM {name} WHERE ", p[0], " RETURNING *", style=p[1])
        )

    def _sql(self, *parts: str | tuple[str, tuple[Any, ...]], style: str) -> Sql:
        text, values = "", ()
        for part in parts:
            if isinstance(part, str):
                text += part.replace("{name}", self.name).replace("{key}", self.key)
            else:
                text, values = text + part[0], values + part[1]
        return Sql(text, values, style, fetch="RETURNING" in text)

    def _inserts(self) -> Iterator[st.SearchStrategy[Sql]]:
        column = self.columns[self.some]
        upserts = [
            "",
            "",
            " ON CONFLICT DO NOTHING",
            f" ON CONFLICT ({self.key}) DO UPDATE SET {column} = excluded.{column}",
            f" ON CONFLICT ({self.key}) DO UPDATE SET {column} = {self.name}.{column} + 1"
            f" WHERE {self.name}.{column} < 2",
            f" RETURNING {self.key}",
        ]
        if "u" in self.columns:
            name = self.columns["u"]
            upserts.append(f" ON CONFLICT ({name}) DO UPDATE SET {column} = 2")
            # The row that is there gets another key.
            upserts.append(f" ON CONFLICT ({name}) DO UPDATE SET {self.key} = excluded.{self.key}")
        starts = [self._insert()]
        if not self.is_postgres:
            starts += ["REPLACE" + self._insert()[6:], "INSERT OR REPLACE" + self._insert()[6:]]
            starts.append("INSERT OR IGNORE" + self._insert()[6:])
        yield st.tuples(
            st.sampled_from(starts),
            self._rows(2),
            st.sampled_from(upserts),
            st.sampled_from(STYLES),
        ).map(lambda p: self._values(*p))

    def _values(self, start: str, rows: Sequence[tuple[Any, ...]], end: str, style: str) -> Sql:
        row = f"({', '.join(['{}'] * len(self.columns))})"
        is_replaced = not start.startswith("INSERT INTO") and "CONFLICT" in end
        text = start + ", ".join([row] * len(rows)) + ("" if is_replaced else end)
        return Sql(text, sum(rows, ()), style, fetch="RETURNING" in text)

    def _selections(self) -> Iterator[st.SearchStrategy[Sql]]:
        """Yield ``INSERT … SELECT`` of rows of the same table, under another key."""
        names = [name for name in self.columns if name not in (self.pk, "u")]
        columns = ", ".join(self.columns[name] for name in names)
        start = f"INSERT INTO {self.name} ({self.key}, {columns}) SELECT "
        conditions, keys = self._conditions(), self._stored_keys()
        yield st.tuples(keys, conditions, st.sampled_from(("literal", "positional"))).map(
            lambda p: Sql(
                # PostgreSQL cannot tell the type of a parameter in a SELECT.
                f"{start}CAST({{}} AS {self._type()}), {columns} FROM {self.name} WHERE {p[1][0]}"
                + (" LIMIT 1 ON CONFLICT DO NOTHING"),
                (p[0], *p[1][1]),
                p[2],
            )
        )

    def _type(self) -> str:
        field: Any = self.table.model._meta.pk
        return str(
            field.rel_db_type(self.connection)
            if field.remote_field
            else field.cast_db_type(self.connection)
        )

    def _across_tables(self) -> Iterator[st.SearchStrategy[Sql]]:
        """Yield updates that are decided by the rows of another table."""
        for name, target in self.table.relations.items():
            if f"{name}_id" not in self.columns:
                continue
            theirs = self._quote(target.model._meta.db_table)
            number = self._quote(target.column(target.number).column)
            there = self._quote(self.table.column(name).target_field.column)
            column, ours = self.columns[self.some], self.columns[f"{name}_id"]
            numbers = st.sampled_from((0, 1, 2))
            update = (
                f"UPDATE {self.name} AS mine SET {column} = theirs.{number} "
                f"FROM {theirs} AS theirs "
                f"WHERE theirs.{there} = mine.{ours} AND theirs.{number} >= {{}}"
            )
            delete = (
                f"DELETE FROM ONLY {self.name} AS mine USING {theirs} AS theirs "
                f"WHERE theirs.{there} = mine.{ours} AND theirs.{number} = {{}}"
            )
            texts = [update, delete] if self.is_postgres else [update]
            yield st.builds(Sql, st.sampled_from(texts), st.tuples(numbers))

    def _many(self) -> Iterator[st.SearchStrategy[Sql]]:
        column = self.columns[self.some]
        pairs = st.lists(
            st.tuples(st.sampled_from((0, 1, 2)), self._stored_keys()), min_size=2, max_size=3
        )
        text = f"UPDATE {self.name} SET {column} = {{}} WHERE {self.key} = {{}}"
        yield pairs.map(lambda p: Sql(text, p[0], "positional", tuple(p[1:])))
        deleted = st.lists(st.tuples(self._stored_keys()), min_size=2, max_size=2)
        removal = f"DELETE FROM {self.name} WHERE {self.key} = {{}}"
        yield deleted.map(lambda p: Sql(removal, p[0], "positional", tuple(p[1:])))
        row = f"({', '.join(['{}'] * len(self.columns))}) ON CONFLICT DO NOTHING"
        yield (
            self._rows(3)
            .filter(lambda rows: len(rows) > 1)
            .map(lambda rows: Sql(self._insert() + row, rows[0], "positional", tuple(rows[1:])))
        )

    def _of_postgres(self) -> Iterator[st.SearchStrategy[Sql]]:
        column, name, key = self.columns[self.some], self.name, self.key
        parts = st.tuples(self._conditions(), st.sampled_from(STYLES))
        yield parts.map(
            lambda p: self._sql(
                f"WITH w AS (UPDATE {name} SET {column} = 7 - {column} WHERE ",
                p[0],
                " RETURNING {key}) SELECT COUNT(*) FROM w",
                style=p[1],
            )
        )
        columns = ", ".join(self.columns.values())
        moved = ", ".join("{}" if c == key else c for c in self.columns.values())
        yield st.tuples(self._conditions(), self._stored_keys()).map(
            lambda p: Sql(
                f"WITH gone AS (DELETE FROM {name} WHERE {p[0][0]} RETURNING *) "
                f"INSERT INTO {name} ({columns}) SELECT {moved} FROM gone LIMIT 1",
                (*p[0][1], p[1]),
            )
        )
        yield st.tuples(self._stored_keys(), self._stored_keys()).map(
            lambda p: Sql(
                f"UPDATE {name} SET {column} = 3 WHERE {key} = {{}}; "
                f"DELETE FROM {name} WHERE {key} = {{}}",
                p,
            )
        )
        yield self._stored_keys().map(
            lambda p: Sql(
                f"MERGE INTO {name} AS mine USING (SELECT CAST({{}} AS {self._type()}) AS k) AS v "
                f"ON mine.{key} = v.k WHEN MATCHED AND mine.{column} > 1 THEN DELETE "
                f"WHEN MATCHED THEN UPDATE SET {column} = mine.{column} + 1",
                (p,),
            )
        )
        yield st.just(Sql(f"TRUNCATE {name} CASCADE", (), alone=True))
        yield parts.map(
            lambda p: self._sql(
                "UPDATE ONLY {name} SET ", (f"{column} = 5", ()), " WHERE ", p[0], style=p[1]
            )
        )
