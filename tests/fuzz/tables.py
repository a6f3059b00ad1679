"""The tables of models that are made up: made, filled with a few rows for each program, dropped."""

import random
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from django.db import connections, models
from django.db.models import Model

from cache_invalidation.rules.registry import registry
from tests.fuzz.lineages import random_lineage
from tests.fuzz.oddities import USUAL, Oddity, random_oddity
from tests.fuzz.random_models import random_tables, saving_to
from tests.fuzz.random_rules import random_rules
from tests.fuzz.schemas import Grammar, Schema, Table, literal, local_columns, stored
from tests.fuzz.shown import drop_shown, refresh, shown
from tests.fuzz.webs import random_web
from tests.testapp.made import models_forgotten


@contextmanager
def created(seed: int, alias: str, grammar: Grammar = "usual") -> Iterator[Schema]:
    """Create the models that `seed` stands for, and their tables; remove them afterwards."""
    rng = random.Random(seed)
    database = rng.random() < 0.25 and hasattr(models, "DB_CASCADE")
    oddity = random_oddity(rng, alias) if grammar == "unusual" else USUAL
    saving_to[:] = [alias]
    with ExitStack() as stack:
        stack.enter_context(models_forgotten())
        tables = tuple(_random_tables(rng, alias, database, grammar, oddity))
        with ExitStack() as making:
            making.enter_context(_cascading_by_hand(alias, tables))
            making.enter_context(oddity.made_so(connections[alias]))
            editor = making.enter_context(connections[alias].schema_editor())
            for table in tables:
                editor.create_model(table.model)
        stack.callback(_drop, alias, tables)
        seen: tuple[Table, ...] = ()
        if grammar == "unusual":
            seen = tuple(shown(rng, tables[0], alias, oddity.is_split))
            stack.callback(drop_shown, seen, alias)
        rules = dict(random_rules(rng, tables, grammar))
        for model, declared in rules.items():
            stack.enter_context(registry.override(model, *declared))
        registry.changed.send(sender=registry)
        yield Schema(seed, alias, grammar, tables, rules, _wipe(alias, tables, seen), seen)


def _random_tables(
    rng: random.Random, alias: str, database: bool, grammar: Grammar, oddity: Oddity
) -> Iterator[Table]:
    if grammar == "usual":
        return random_tables(rng, database)
    if grammar == "related":
        return random_web(rng, alias)
    return random_lineage(
        rng,
        db_table=oddity.db_table,
        is_loose=oddity.text is not None,
        is_split=oddity.is_split,
    )


@contextmanager
def _cascading_by_hand(alias: str, tables: Sequence[Table]) -> Iterator[None]:
    """Have what is ``DO_NOTHING`` to Django cascade in the database, as a migration can do it."""
    quote = connections[alias].ops.quote_name
    columns = [
        (f"TABLE {quote(table.model._meta.db_table)} ", f'"{name}_id"')
        for table in tables
        for name in table.relations
        if table.column(name).remote_field.on_delete is models.DO_NOTHING
        and table.column(name).db_constraint
        and table.parent is None
    ]

    def rewrite(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        for start, column in columns:
            if start in str(sql):
                reference = rf"({column}[^,]*? REFERENCES [^,]*?)( DEFERRABLE)"
                sql = re.sub(reference, r"\1 ON DELETE CASCADE\2", str(sql))
        return execute(sql, params, many, context)

    with connections[alias].execute_wrapper(rewrite):
        yield


def _drop(alias: str, tables: Sequence[Table]) -> None:
    connections[alias].close()  # A program that failed may have left it in a transaction.
    with connections[alias].schema_editor() as editor:
        for table in reversed(tables):
            editor.delete_model(table.model)


def wipe(schema: Schema) -> None:
    """Put the tables into the state that every example begins with."""
    connection: Any = connections[schema.alias]
    connection.ensure_connection()
    if connection.vendor == "postgresql":
        connection.connection.execute(schema.wipe)
    else:
        connection.connection.executescript(f"BEGIN; {schema.wipe} COMMIT;")


def _wipe(alias: str, tables: Sequence[Table], seen: Sequence[Table]) -> str:
    """Return the statements that empty all tables and put a few rows into them."""
    quote = connections[alias].ops.quote_name
    relations = [
        relation
        for table in tables
        for relation in map(table.column, table.many)
        if table.parent is None and relation.remote_field.through._meta.auto_created
    ]
    throughs = [relation.remote_field.through for relation in relations]
    every = [*throughs, *(table.model for table in reversed(tables))]
    statements = [f"DELETE FROM {quote(model._meta.db_table)}" for model in every]
    for table in tables:
        names = [attname for attname, _ in local_columns(table)]
        columns = ", ".join(quote(column) for _, column in local_columns(table))
        for number in range(1 if table.parent else 2):
            values = ", ".join(literal(_first(table, name, number, alias)) for name in names)
            name = quote(table.model._meta.db_table)
            statements.append(f"INSERT INTO {name} ({columns}) VALUES ({values})")
    statements += (_relate_first(alias, tables, relation) for relation in relations)
    statements += _restart(alias, every)
    statements += filter(None, (refresh(table.model) for table in seen))
    return "; ".join(statements) + ";"


def _relate_first(alias: str, tables: Sequence[Table], relation: Any) -> str:
    """Return the statement that relates the first row of a table to the first one of another."""
    quote = connections[alias].ops.quote_name
    keys = {table.model: (table, table.keys[0]) for table in tables}
    sides = [keys[relation.model], keys[relation.related_model]]
    values = [literal(stored(table, "pk", key, alias)) for table, key in sides]
    columns = [quote(relation.m2m_column_name()), quote(relation.m2m_reverse_name())]
    name = quote(relation.m2m_db_table())
    return f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({', '.join(values)})"


def _first(table: Table, name: str, number: int, alias: str) -> Any:
    column = table.column(name)
    if column.primary_key:
        value = table.keys[number]
    elif name == "u":
        value = number + 1  # Others refer to it.
    elif name == "up_id":
        value = table.keys[0] if number else None
    else:
        pool = [value for value in table.pool(name) if value is not None]
        target = table.relations.get(name.removesuffix("_id"))
        # There is one row of a child.
        value = pool[number % len(pool) if target is None or target.parent is None else 0]
    return stored(table, column.name, value, alias)


def _restart(alias: str, every: Sequence[type[Model]]) -> Iterator[str]:
    """Yield statements after which the same example makes the same keys again."""
    for model in every:
        if not isinstance(model._meta.pk, models.AutoField):
            continue
        name, key = model._meta.db_table, model._meta.pk.column
        if connections[alias].vendor == "postgresql":
            quoted = literal(connections[alias].ops.quote_name(name))
            yield f"SELECT setval(pg_get_serial_sequence({quoted}, '{key}'), 100)"
        else:
            name = literal(name.strip('"'))
            yield f"DELETE FROM sqlite_sequence WHERE name = {name}"
            yield f"INSERT INTO sqlite_sequence (name, seq) VALUES ({name}, 100)"
    if connections[alias].vendor == "postgresql":
        yield "SELECT setseed(0.5)"
