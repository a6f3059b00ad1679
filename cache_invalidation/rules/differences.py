"""Which fields of a row a change has changed, as far as that can be told."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models import Model

from cache_invalidation.rules.declarations import Change
from cache_invalidation.rules.loading import in_column
from cache_invalidation.rules.rule import Rule, field_names
from cache_invalidation.rules.templates import as_stored


def may_have_changed(change: Change, fields: Collection[str] | None) -> bool:
    """Whether one of `fields` may be another after `change`; None stands for any field."""
    if fields is None or change.operation not in ("update", "m2m"):
        return True
    names = field_names(change.model, fields)
    if change.fields is not None and names.isdisjoint(change.fields):
        return not all(_is_field(change.model, name) for name in names)
    if change.operation == "m2m":
        return True
    if change.old is None or change.new is None:
        return True
    return any(_differs(change.old, change.new, name) for name in fields)


def changes_only(rule: Rule, change: Change, fields: Collection[str]) -> bool:
    """Whether `change` certainly leaves all columns as they are but those of `fields`, by name.

    A statement may assign columns that the model does not know, and the states do not show.
    """
    if change.operation != "update" or not change.fields:
        return False
    if change.fields <= frozenset(fields):
        return True
    if change.old is None or change.new is None:
        return False
    columns = [each.name for each in rule.model._meta.concrete_fields if each.name not in fields]
    return not any(_differs(change.old, change.new, name) for name in columns)


def _is_field(model: type[Model], name: str) -> bool:
    try:
        model._meta.get_field(name)
    except FieldDoesNotExist:
        return False  # A system check says so.
    return True


def _differs(old: Model, new: Model, name: str) -> bool:
    if not _is_field(type(old), name):
        return True
    column = old._meta.get_field(name)
    if not isinstance(column, models.Field) or column.many_to_many:
        return False
    if column.attname in new.get_deferred_fields():
        return False
    before, after = (as_stored(column, in_column(state, column)) for state in (old, new))
    try:
        return not _is_same(before, after)
    except Exception:  # noqa: BLE001 - arrays, for instance, do not compare to one truth
        return True


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values are stored alike. To Python, so many more are equal: 1, 1.0 and True."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and _are_same(list(one.values()), list(other.values()))
    if isinstance(one, list | tuple):
        return _are_same(one, other)
    if isinstance(one, float):
        return repr(one) == repr(other)  # 0.0 and -0.0
    if isinstance(one, datetime) and one.tzinfo is not None:
        # In one zone, two times an hour apart are equal when the clocks are put back.
        return bool(one.astimezone(UTC) == other.astimezone(UTC))
    return bool(one == other)


def _are_same(some: Collection[Any], others: Collection[Any]) -> bool:
    return len(some) == len(others) and all(map(_is_same, some, others))
