"""Whether rows become what they are given: columns have the types that Django makes of the fields.

Others may hold something else: `numeric(10,1)`, `char(5)`, `timestamptz(0)`. So may what a trigger
writes.
"""

from collections.abc import Callable, Iterable

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from cache_invalidation.observing.relations import postgresql, sqlite
from cache_invalidation.sql.names import parts


def has_columns_of(connection: BaseDatabaseWrapper, table: type[Model]) -> bool:
    """Whether the columns in the table of `table` keep what they are given as Django's own do.

    Databases that are not asked what their columns are count as if they did.
    """
    name = parts(table._meta.db_table)[-1]
    match connection.vendor:
        case "postgresql":
            types = postgresql.types(connection, name)
            return _are_those_of(table, types, connection, postgresql.spelled)
        case "sqlite":
            return _are_those_of(table, sqlite.types(connection, name), connection, sqlite.affinity)
    return True


def does_more(connection: BaseDatabaseWrapper, table: type[Model]) -> bool:
    """Whether a statement may do more to rows of `table` than it says: by a trigger, for instance.

    Databases that are not asked count as if they did not.
    """
    name = parts(table._meta.db_table)[-1]
    computed = [f.column or "" for f in table._meta.local_concrete_fields if f.generated]
    match connection.vendor:
        case "postgresql":
            return postgresql.does_more(connection, name, computed)
        case "sqlite":
            return sqlite.does_more(connection, name, computed)
    return False


def _are_those_of(
    table: type[Model],
    types: Iterable[tuple[str, str]],
    connection: BaseDatabaseWrapper,
    normal: Callable[[str], str],
) -> bool:
    made: dict[str, set[str]] = {}
    for field in table._meta.local_concrete_fields:
        if (kind := field.db_type(connection)) is not None:
            made.setdefault((field.column or "").lower(), set()).add(normal(kind))
    return all(made.get(column.lower(), {normal(kind)}) == {normal(kind)} for column, kind in types)
