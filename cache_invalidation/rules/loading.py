"""Rows as instances whose columns hold what is stored, whatever a project does as it loads them.

Code of the project runs while an instance is made: its own `from_db` and `__init__`, receivers of
`post_init`, descriptors of fields. It may set columns to something else than is in the row.
"""

from collections.abc import Iterator, Mapping
from copy import copy
from functools import cache
from inspect import getattr_static
from typing import Any, Final

from django.db.models import Field, Model, QuerySet
from django.db.models.query import ModelIterable
from django.db.models.signals import post_init

_HOOKS: Final = ("__new__", "__init__", "__setattr__", "__getattribute__", "from_db")


def is_plain(model: type[Model]) -> bool:
    """Whether nothing but Django makes an instance of a row."""
    return _has_no_hooks(model) and not post_init.has_listeners(model)


@cache
def _has_no_hooks(model: type[Model]) -> bool:
    is_djangos = all(getattr_static(model, n) is getattr_static(Model, n) for n in _HOOKS)
    return is_djangos and has_plain_attributes(model)


@cache
def has_plain_attributes(model: type[Model]) -> bool:
    """Whether the attribute of each column is what Django makes of it."""
    attributes = (getattr_static(model, f.attname, None) for f in model._meta.concrete_fields)
    return model.__getattribute__ is Model.__getattribute__ and all(
        type(attribute).__module__.startswith("django.") for attribute in attributes
    )


def as_stored_in(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return `rows`, whole instances without relations, with columns as they are stored."""
    if not is_plain(rows.model):
        rows = rows.all()
        rows._iterable_class = _AsStored
    return rows


class _AsStored(ModelIterable):  # type: ignore[type-arg]
    def __iter__(self) -> Iterator[Any]:
        queryset: Any = self.queryset
        compiler = queryset.query.get_compiler(using=queryset.db)
        found = compiler.execute_sql(chunked_fetch=self.chunked_fetch, chunk_size=self.chunk_size)
        names = [column.target.attname for column, *_ in compiler.select]
        for values in compiler.results_iter(found):
            row = queryset.model.from_db(queryset.db, names, values)
            yield _assign(row, dict(zip(names, values, strict=True)))


def stored_row(row: Model) -> Model:
    """Return `row`, which a project has loaded, with columns as they are stored."""
    model, using = type(row), row._state.db
    if row._state.adding or is_plain(model):
        return row
    found: Model = as_stored_in(QuerySet(model, using=using).order_by()).get(pk=row.pk)
    return found


def with_columns(row: Model, values: Mapping[str, Any]) -> Model:
    """Return `row` with `values`, by the attributes of columns, as they come from a database."""
    return _assign(copy(row), values)


def _assign(row: Model, values: Mapping[str, Any]) -> Model:
    held = row.__dict__
    held.update(values)
    row._state.fields_cache.clear()  # Which related rows there are has been asked before.
    for name in held.keys() - _attributes(type(row)):
        if _is_computed(type(row), name):
            del held[name]
    return row


def remembers(row: Model) -> bool:
    """Whether `row` may hold what is older than its columns: related rows, what was computed."""
    return bool(row._state.fields_cache) or not _attributes(type(row)).issuperset(row.__dict__)


@cache
def _attributes(model: type[Model]) -> frozenset[str]:
    """Return what any instance has."""
    return frozenset({"_state", *(column.attname for column in model._meta.concrete_fields)})


def _is_computed(model: type[Model], name: str) -> bool:
    """Whether an instance keeps under `name` what it would find out again if it had not."""
    if name == "_prefetched_objects_cache":
        return True
    attribute = type(getattr_static(model, name, None))  # Such as a `cached_property`.
    return hasattr(attribute, "__get__") and not hasattr(attribute, "__set__")


def in_column(row: Model, field: "Field[Any, Any]") -> Any:
    """Return what `row` holds in the column of `field`, past what a descriptor makes of it."""
    try:
        return row.__dict__[field.attname]
    except KeyError:
        return getattr(row, field.attname)  # It is deferred, or computed.
