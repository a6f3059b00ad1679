"""What a statement of SQL means for the models: which rows it writes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Model

from cache_invalidation import sql
from cache_invalidation.conf import settings
from cache_invalidation.connections import is_open_for_driver
from cache_invalidation.observing import relations
from cache_invalidation.rules import catalog
from cache_invalidation.rules.declarations import Change, Operation
from cache_invalidation.rules.registry import registry
from cache_invalidation.sql import Condition, Kind, Parameter, Statement, Value, Write

_DIALECTS: Final[Mapping[str, sql.Dialect]] = {"sqlite": "sqlite", "mysql": "mysql"}
_OPERATIONS: Final[Mapping[Kind, Operation]] = {
    "insert": "create",
    "copy": "create",
    "delete": "delete",
    "truncate": "delete",
}


#: The kinds of statement that may run in a transaction of their own, and do the same there.
ORDINARY: Final[frozenset[Kind]] = frozenset({"insert", "update", "delete"})
# What SQLite calls a key of integers in any table.
_ROWIDS: Final = frozenset({"rowid", "oid", "_rowid_"})

#: Primary keys; None if it is not known which.
Keys = tuple[Any, ...] | None

#: What foreign keys in the table of a many-to-many relation hold, as far as that is known.
Links = Mapping["Field[Any, Any]", tuple[Any, ...]]

#: Stands for the value of a parameter that was not given.
MISSING: Final = object()

#: What a statement does that nobody understood.
ANYTHING: Final = Statement(may_write=True, reads_others=True)


def analyze(connection: BaseDatabaseWrapper, text: str) -> Statement:
    """Return what `text` does to the tables of the models."""
    return sql.analyze(text, dialect_of(connection.vendor), catalog.tables())


def dialect_of(vendor: str) -> sql.Dialect:
    """Return what comes closest to the SQL of a database."""
    return _DIALECTS.get(vendor, "postgresql")


@dataclass(frozen=True, slots=True)
class Written:
    """Rows of `model` that a statement writes.

    `keys` are their primary keys, None if it does not say which. `fields` are the names of those
    that an update assigns, or of a relation, None if that is not known. `links` are as in
    `Change`. With `is_end` these are not rows that it writes, but those at the ends of a relation
    that it changes.
    """

    model: type[Model]
    write: Write
    keys: Keys
    fields: frozenset[str] | None
    is_end: bool = False
    links: Links = field(default_factory=dict)

    def changes(self, using: str) -> Iterator[Change]:
        """Yield one change for each row, or one for all of them."""
        any_row = self.of_any_row(using)
        if self.keys is None:
            yield any_row
        else:
            yield from (replace(any_row, pk=pk) for pk in self.keys)

    def of_any_row(self, using: str) -> Change:
        """Return the change of rows of which it is not known which they are."""
        return Change(
            model=self.model,
            operation=self.operation,
            using=using,
            fields=self.fields,
            links=self.links,
        )

    @property
    def operation(self) -> Operation:
        return "m2m" if self.is_end else _OPERATIONS.get(self.write.kind, "update")


def rows_written(
    statement: Statement,
    params: Any,
    many: bool,
    connection: BaseDatabaseWrapper,
    is_accounted_for: Callable[[type[Model]], bool] = lambda model: False,
) -> list[Written]:
    """Return the rows of watched models that `statement` writes with the parameters `params`.

    With `many`, there are several sets of parameters. Writes that are accounted for are left out.
    """
    given = sets_of(params, many)
    return [
        Written(
            model,
            write,
            keys_written(model._meta.pk_fields, write, given, connection),
            None if statement.boundaries else _fields(model, write, connection),
        )
        for write in statement.writes
        for model in catalog.models_by_table()[write.table]
        if not is_accounted_for(model) and registry.plan(model)
    ]


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


def assigned_fields(
    model: type[Model], names: Iterable[str] | None, connection: BaseDatabaseWrapper
) -> frozenset[str] | None:
    """Return the names of the fields that may change if those called `names` are, or all for None.

    None if that is not known, as where a trigger may write others; or where nobody knows when it is
    committed, and nothing must be taken for unchanged meanwhile. What the database computes from
    others may change in any case. A name may be that of a field, of its attribute or of its column,
    and so of several fields.
    """
    # Only who looks at values wants to know.
    if registry.plan(model).needs_state and (
        is_open_for_driver(connection) or relations.writes_more(connection, model)
    ):
        return None
    if names is None:
        return _all_fields(model)
    fields, computed = _fields_by_name(model)
    found = [fields.get(name.lower()) for name in names]
    return None if None in found else computed.union(*filter(None, found))


@cache
def _all_fields(model: type[Model]) -> frozenset[str]:
    return frozenset(field.name for field in model._meta.concrete_fields)


@cache
def _fields_by_name(model: type[Model]) -> tuple[dict[str, set[str]], frozenset[str]]:
    """Return the names of fields by each of their names in lower case, and of those computed."""
    fields: dict[str, set[str]] = {}
    for column in model._meta.concrete_fields:
        for name in (column.name, column.attname, column.column or ""):
            fields.setdefault(name.lower(), set()).add(column.name)
    return fields, frozenset(f.name for f in model._meta.concrete_fields if f.generated)


def _fields(
    model: type[Model], write: Write, connection: BaseDatabaseWrapper
) -> frozenset[str] | None:
    if write.kind != "update" or not write.columns:
        return None
    return assigned_fields(model, write.columns, connection)


def models_written(statement: Statement) -> set[type[Model]]:
    """Return the models whose tables `statement` writes, excluded ones too."""
    return {model for write in statement.writes for model in catalog.models_by_table()[write.table]}
