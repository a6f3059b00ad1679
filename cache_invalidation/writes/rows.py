"""Rows as they are in the database, read under the lock that the write is about to take.

Without it, of two writers that move a row from A to B and from B to C, the second may see A as the
old state, and what depends on B would stay.
"""

from collections.abc import Collection
from typing import Any

from django.db import connections
from django.db.models import Model, QuerySet

from cache_invalidation.connections import in_transaction
from cache_invalidation.observing.watcher import unrecorded
from cache_invalidation.rules.catalog import all_rows
from cache_invalidation.rules.loading import (
    as_stored_in,
    in_column,
    is_plain,
    remembers,
    with_columns,
)
from cache_invalidation.sql.names import parts
from cache_invalidation.tags import table_of
from cache_invalidation.writes.accounted import Account, Accounted
from cache_invalidation.writes.stored import only_database_knows


def read(model: type[Model], pk: Any, using: str, *, deleting: bool = False) -> Model | None:
    """Return the row, locked until the transaction on `using` ends; None if there is none.

    Outside of a transaction there is nothing that a lock could last for, and none is taken.
    """
    connection = connections[using]
    lock = in_transaction(connection)
    with unrecorded():
        if lock and not connection.features.has_select_for_update:
            _lock_database(model, using)
            lock = False
        if model._meta.parents or len(model._meta.pk_fields) > 1 or not is_plain(model):
            return _query(model, using, lock, deleting).filter(pk=pk).first()
        # Every save of a row whose rule looks at its values comes here, and compiling the query
        # would take longer than running it.
        key = model._meta.pk.get_db_prep_value(pk, connection)
        sql = _sql(model, pk, using, lock, deleting)
        return next(iter(all_rows(model, using).raw(sql, [key])), None)


def read_all(
    rows: QuerySet[Any], using: str, *, deleting: bool = False, limit: int | None = None
) -> dict[Any, Model]:
    """Return the rows of a plain queryset by primary key, locked as `read` does it.

    At most `limit` of them, and one more that shows that there are more.
    """
    connection = connections[using]
    with unrecorded():
        if in_transaction(connection):
            if connection.features.has_select_for_update:
                rows = _locked(rows, using, deleting)
            else:
                _lock_database(table_of(rows.model), using)
        found = as_stored_in(rows if limit is None else rows[: limit + 1])
        return {in_column(row, row._meta.pk): row for row in found}


def _query(model: type[Model], using: str, lock: bool, deleting: bool) -> QuerySet[Model]:
    # The order of `Meta` would cost joins, and parameters of its own.
    rows = all_rows(model, using)
    return _locked(rows, using, deleting) if lock else rows


def _locked(rows: QuerySet[Any], using: str, deleting: bool) -> QuerySet[Any]:
    features = connections[using].features
    # An UPDATE leaves the key alone, and need not wait for those who insert references to it.
    no_key = features.has_select_for_no_key_update and not deleting
    # Parents first, as a save writes them: in another order two writers could wait for each other.
    has_of = features.has_select_for_update_of and not _is_qualified(rows.model)
    of = (*_parent_links(rows.model), "self") if has_of else ()
    return rows.select_for_update(of=of, no_key=no_key)


def _is_qualified(model: type[Model]) -> bool:
    """Whether a schema is named with a table of `model`, which no ``FOR UPDATE OF`` allows."""
    return any(len(parts(table._meta.db_table)) > 1 for table in (model, *model._meta.all_parents))


_compiled: dict[tuple[type[Model], str, bool, bool], str] = {}


def _sql(model: type[Model], pk: Any, using: str, lock: bool, deleting: bool) -> str:
    """Return the SELECT of one row by its key, which is the only parameter."""
    name = model, using, lock, deleting
    if name in _compiled:
        return _compiled[name]
    query = _query(model, using, lock, deleting).filter(pk=pk).query
    return _compiled.setdefault(name, str(query.get_compiler(using).as_sql()[0]))


def _lock_database(model: type[Model], using: str) -> None:
    """Take SQLite's only lock as a write does: a transaction that reads first cannot wait for it.

    It would fail at once with "database is locked" where the project's write, alone, would have
    waited its turn.
    """
    quote = connections[using].ops.quote_name
    table, column = quote(model._meta.db_table), quote(_first_column(model))
    silent = Account(using, frozenset({model}), begun=None)
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET {column} = {column} WHERE 1 = 0",  # noqa: S608
            Accounted.by(silent),
        )


def _first_column(model: type[Model]) -> str:
    fields = model._meta.local_concrete_fields
    return next(field.column for field in fields if field.column and not field.generated)


def _parent_links(model: type[Model]) -> list[str]:
    """Return the lookups to the rows that a multi-table child has in its parents' tables."""
    links: list[str] = []
    for parent, link in model._meta.parents.items():
        if link is not None:
            links += [*(f"{link.name}__{name}" for name in _parent_links(parent)), link.name]
    return links


def state_after(
    instance: Model,
    old: Model | None,
    update_fields: Collection[str] | None,
    using: str,
    raw: bool = False,
) -> Model | None:
    """Return the row as it is after `instance` was saved; None if it cannot be found.

    That is not always the instance: attributes outside of `update_fields` were not written, and
    expressions are known only to the database.
    """
    if update_fields is not None and old is not None:
        written = with_columns(
            old,
            {
                column.attname: getattr(instance, column.attname)
                for column in instance._meta.concrete_fields
                if column.name in update_fields or column.attname in update_fields
            },
        )
    else:
        written = instance
    if only_database_knows(written, using, raw):
        rows = all_rows(type(instance), using)
        return rows.filter(pk=instance.pk).first()
    if written is instance and remembers(instance):
        # Related objects that the project holds may be older than their rows, and what its cached
        # properties have computed may be of values that it had before.
        written = with_columns(instance, {})
    return written
