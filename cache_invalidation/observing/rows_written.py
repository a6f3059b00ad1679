"""What a statement of SQL means for the models: which rows it writes."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Model

from cache_invalidation import sql
from cache_invalidation.connections import is_open_for_driver
from cache_invalidation.observing import relations
from cache_invalidation.observing.keys import Keys, keys_written, sets_of
from cache_invalidation.rules import catalog
from cache_invalidation.rules.declarations import Change, Operation
from cache_invalidation.rules.registry import registry
from cache_invalidation.sql import Kind, Statement, Write

_DIALECTS: Final[Mapping[str, sql.Dialect]] = {"sqlite": "sqlite", "mysql": "mysql"}
_OPERATIONS: Final[Mapping[Kind, Operation]] = {
    "insert": "create",
    "copy": "create",
    "delete": "delete",
    "truncate": "delete",
}


#: The kinds of statement that may run in a transaction of their own, and do the same there.
ORDINARY: Final[frozenset[Kind]] = frozenset({"insert", "update", "delete"})
#: What foreign keys in the table of a many-to-many relation hold, as far as that is known.
Links = Mapping["Field[Any, Any]", tuple[Any, ...]]

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
