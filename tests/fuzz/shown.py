"""Views and partitions: what shows the rows of a table under a name of its own."""

import random
from collections.abc import Iterator

from django.db import connections
from django.db.models import Model
from hypothesis import strategies as st

from tests.fuzz.calls import Call, Write
from tests.fuzz.conditions import kinds_of_rows
from tests.fuzz.orm_writes import delete, raw_delete, update
from tests.fuzz.schemas import Schema, Table
from tests.fuzz.statements import Sql
from tests.testapp.made import make_model

_COLUMNS = ("id", "n", "s", "m")


def shown(rng: random.Random, table: Table, alias: str, is_split: bool) -> Iterator[Table]:
    """Yield models of what shows `table`, and make it."""
    quote = connections[alias].ops.quote_name
    is_postgres = connections[alias].vendor == "postgresql"
    there = quote(table.model._meta.db_table)
    columns = ", ".join(quote(table.column(name).column) for name in _COLUMNS)
    statements = {}
    if is_split:
        for number in (0, 1):
            statements[f"fuzz_part_{number}"] = (
                f"CREATE TABLE fuzz_part_{number} PARTITION OF {there} "
                f"FOR VALUES WITH (MODULUS 2, REMAINDER {number})"
            )
    if rng.random() < 0.4:
        name = 'fuzz_reports"."fuzz_view' if is_postgres and rng.random() < 0.5 else "fuzz_view"
        where = rng.choice(["", f" WHERE {quote(table.column('n').column)} >= 1"])
        statements[name] = f"CREATE VIEW {quote(name)} AS SELECT {columns} FROM {there}{where}"
    if is_postgres and rng.random() < 0.3:
        statements["fuzz_kept"] = (
            f"CREATE MATERIALIZED VIEW fuzz_kept AS SELECT {columns} FROM {there}"
        )
    for name, statement in statements.items():
        with connections[alias].cursor() as cursor:
            cursor.execute(statement)
        yield _model_of(table, name)


def _model_of(table: Table, name: str) -> Table:
    label = "Fuzz" + "".join(filter(str.isalnum, name.title()))
    columns = {each: table.column(each).clone() for each in _COLUMNS}
    model = make_model(label, columns, db_table=name, managed=False)
    pools = {each: table.pools[each] for each in _COLUMNS if each != "id"}
    return Table(model, table.keys, pools, is_loose=table.is_loose)


def drop_shown(tables: tuple[Table, ...], alias: str) -> None:
    """Drop the views; partitions go with their table."""
    quote = connections[alias].ops.quote_name
    with connections[alias].cursor() as cursor:
        for table in tables:
            kind = _kind(table.model)
            if kind != "TABLE":
                cursor.execute(f"DROP {kind} IF EXISTS {quote(table.model._meta.db_table)}")


def _kind(model: type[Model]) -> str:
    name = model._meta.db_table
    if name.startswith("fuzz_part"):
        return "TABLE"
    return "MATERIALIZED VIEW" if name == "fuzz_kept" else "VIEW"


def refresh(model: type[Model]) -> str:
    """Return the statement after which a materialized view shows what is there; none for others."""
    is_kept = _kind(model) == "MATERIALIZED VIEW"
    return f'REFRESH MATERIALIZED VIEW "{model._meta.db_table}"' if is_kept else ""


def shown_writes(schema: Schema, table: Table) -> st.SearchStrategy[Write]:
    """Return a strategy for what can be written under the name of a view or a partition."""
    kind = _kind(table.model)
    if kind == "MATERIALIZED VIEW":
        return st.just(Sql(refresh(table.model), (), alone=True))
    if kind == "VIEW" and connections[schema.alias].vendor == "sqlite":
        return st.just(Sql("SELECT 1", ()))  # Nothing is written by the name of a view there.
    rows = st.sampled_from([rows for kind in kinds_of_rows(table) for rows in kind])
    values = st.sampled_from([{name: v} for name, pool in table.pools.items() for v in pool])
    return st.one_of(
        st.builds(lambda r, v: Call(update, (r, v)), rows, values),
        st.builds(lambda r: Call(delete, (r,)), rows),
        st.builds(lambda r: Call(raw_delete, (r,)), rows),
    )
