"""What a statement of SQL says about the key of a row: what it holds in the rows that are meant."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field

from cache_invalidation.conf import settings
from cache_invalidation.rules import catalog
from cache_invalidation.sql import Condition, Parameter, Value, Write

# What SQLite calls a key of integers in any table.
_ROWIDS: Final = frozenset({"rowid", "oid", "_rowid_"})

#: Primary keys; None if it is not known which.
Keys = tuple[Any, ...] | None

#: Stands for the value of a parameter that was not given.
MISSING: Final = object()


def sets_of(params: Any, many: bool) -> Sequence[Any] | None:
    """Return the sets of parameters; None if they cannot be looked at without using them up."""
    if not many:
        return [params]
    return params if isinstance(params, list | tuple) else None


def keys_written(
    key: Sequence["Field[Any, Any]"],
    write: Write,
    given: Sequence[Any] | None,
    connection: BaseDatabaseWrapper,
) -> Keys:
    """Return what the columns of `key` hold in the rows that `write` is about; None if unknown."""
    if given is None or len(given) > settings.ROW_TAG_LIMIT or not all(map(_is_told_apart, key)):
        return None
    if write.kind == "insert":
        bound = [keys for params in given for keys in _inserted(key, write, params)]
        if any(_is_cut(key, values) for keys in bound for values in keys or ()):
            return None
    elif write.kind == "delete" or (
        write.kind == "update" and not _assigns(write, key, connection)
    ):
        bound = [keys_named(key, write.conditions, params) for params in given]
    else:
        return None
    found: dict[Any, None] = {}
    for each in bound:
        if each is None:
            return None
        for values in each:
            spelled = key_spelled(key, values, connection)
            if spelled is None:
                return None
            found[spelled] = None
        if len(found) > settings.ROW_TAG_LIMIT:
            return None
    return tuple(found)


@cache
def _is_told_apart(field: "Field[Any, Any]") -> bool:
    """Whether no other column of its table differs in case only: statements are read without it."""
    columns = list(map(_column, field.model._meta.local_concrete_fields))
    return columns.count(_column(field)) <= 1


def _column(field: "Field[Any, Any]") -> str:
    return (field.column or "").lower()


def _assigns(
    write: Write, key: Sequence["Field[Any, Any]"], connection: BaseDatabaseWrapper
) -> bool:
    """Whether a key may be assigned: the row is another one afterwards."""
    columns = {column.lower() for column in write.columns}
    if connection.vendor == "sqlite" and not columns.isdisjoint(_ROWIDS):
        return True
    return not columns or any(_column(field) in columns for field in key)


def key_spelled(
    key: Sequence["Field[Any, Any]"], values: Sequence[Any], connection: BaseDatabaseWrapper
) -> Any:
    """Return a primary key as tags spell it, a tuple if it is composite; None if unknown."""
    found = tuple(
        catalog.as_in_tags(field, value, connection.vendor)
        for field, value in zip(key, values, strict=True)
    )
    if None in found:
        return None
    return found[0] if len(found) == 1 else found


def keys_named(
    key: Sequence["Field[Any, Any]"], conditions: Iterable[Condition], params: Any
) -> list[tuple[Any, ...]] | None:
    """Return the keys that conditions on the key's columns name, each with the values bound."""
    if not all(map(_is_told_apart, key)):
        return None
    by_column = {condition.column.lower(): condition.values for condition in conditions}
    bound = [values_bound(by_column.get(_column(field)), params) for field in key]
    if len(bound) == 1:
        return None if bound[0] is None else [(value,) for value in bound[0]]
    if any(values is None or len(values) != 1 for values in bound):
        return None
    return [tuple(values[0] for values in bound if values is not None)]


def _inserted(
    key: Sequence["Field[Any, Any]"], write: Write, params: Any
) -> Iterator[list[tuple[Any, ...]] | None]:
    columns = [column.lower() for column in write.columns]
    if not write.rows or any(_column(field) not in columns for field in key):
        yield None
        return
    places = [columns.index(_column(field)) for field in key]
    for row in write.rows:
        values = [row[place] for place in places]
        bound = [values_bound(None if value is None else (value,), params) for value in values]
        if any(column is None for column in bound):
            yield None
        else:
            yield list(zip(*[column for column in bound if column is not None], strict=True))


def _is_cut(key: Sequence["Field[Any, Any]"], values: Iterable[Any]) -> bool:
    """Whether one of `values` is longer than its column, which keeps no spaces at the end then."""
    lengths = map(catalog.length_of, key)
    return any(
        isinstance(value, str) and length is not None and len(value) > length
        for length, value in zip(lengths, values, strict=True)
    )


def values_bound(values: tuple[Value, ...] | None, params: Any) -> list[Any] | None:
    """Return `values` with the parameters in place; None if they are not to be had."""
    if values is None or (len(values) > 1 and len(values) > settings.ROW_TAG_LIMIT):
        return None
    found: list[Any] = []
    for value in values:
        if not isinstance(value, Parameter):
            found.append(value)
            continue
        bound = value_given(value, params)
        if bound is MISSING:
            return None
        if not value.is_array:
            found.append(bound)
        elif isinstance(bound, list | tuple) and len(bound) <= settings.ROW_TAG_LIMIT:
            found.extend(bound)
        else:
            return None
    return found


def value_given(parameter: Parameter, params: Any) -> Any:
    """Return what `params` has for `parameter`; `MISSING` if there is nothing."""
    try:
        return params[parameter.key]
    except (LookupError, TypeError):
        return MISSING
