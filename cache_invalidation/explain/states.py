"""Rows as a write would leave them, as far as that can be told before it."""

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any, Final

from django.db.models import Field, Model

from cache_invalidation.rules.loading import with_columns

#: Stands for the primary key of a row that has none yet.
NEW: Final = "{pk}"


def saved(instance: Model, using: str) -> Model:
    """Return the row as it would be if `instance` were saved on `using`."""
    row = copy(instance)
    # Related objects that the project holds may be older than their rows.
    row._state.fields_cache.clear()
    row._state.db = using
    for field in row._meta.concrete_fields:
        value = row.__dict__.get(field.attname)
        if field.primary_key or field in row._meta.pk_fields:
            if value is None or hasattr(value, "resolve_expression"):
                setattr(row, field.attname, NEW)
        elif hasattr(value, "resolve_expression"):
            setattr(row, field.attname, stand_in(field))
    return row


def stand_in(field: "Field[Any, Any]") -> str:
    """Return what stands for a value of `field` that is known only after the write."""
    return f"{{{field.attname}}}"


def is_known(row: Model, instance: Model) -> bool:
    """Whether `saved` has found all values of `row` in `instance`."""
    return all(
        row.__dict__.get(field.attname) is instance.__dict__.get(field.attname)
        for field in row._meta.concrete_fields
    )


def assigned(row: Model, fields: Iterable["Field[Any, Any]"], values: Mapping[str, Any]) -> Model:
    """Return `row` after an assignment to `fields`, of those `values` by name that are known."""
    return with_columns(
        row, {field.attname: values.get(field.name, stand_in(field)) for field in fields}
    )
