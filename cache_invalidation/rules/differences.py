"""Which fields of a row a change has changed, as far as that can be told."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Model

from cache_invalidation.rules.declarations import Change
from cache_invalidation.rules.loading import in_column
from cache_invalidation.rules.rule import Rule, field_names, is_written
from cache_invalidation.rules.templates import as_stored

# The packages of types whose values are equal only if they are stored alike. By what those of a
# project are equal, nobody knows: it may leave out a part of them.
_EXACT: Final = frozenset(
    {"builtins", "datetime", "decimal", "django", "ipaddress", "psycopg", "psycopg2", "uuid"}
)


def may_have_changed(change: Change, fields: Collection[str] | None) -> bool:
    """Whether one of `fields` may be another after `change`; None stands for any field."""
    if fields is None or change.operation not in ("update", "m2m"):
        return True
    names = field_names(change.model, fields)
    if change.fields is not None and names.isdisjoint(change.fields):
        # What is none of these may have changed all the same; a system check says so.
        return not all(is_written(change.model, name) for name in names)
    if change.operation == "m2m":
        return True
    if change.old is None or change.new is None:
        return True
    return any(_differs(change.old, change.new, name) for name in names)


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


def _differs(old: Model, new: Model, name: str) -> bool:
    if not is_written(type(old), name):
        return True
    column: Any = old._meta.get_field(name)
    if column.many_to_many:
        return False
    if column.attname in new.get_deferred_fields():
        return False
    before, after = (as_stored(column, in_column(state, column)) for state in (old, new))
    try:
        if _is_same(before, after):
            return False
        if _is_exact(before):
            return True
        connection = connections[old._state.db or DEFAULT_DB_ALIAS]
        sent = (column.get_db_prep_save(value, connection) for value in (before, after))
        return not _is_same(*sent)
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
    return _is_exact(one) and bool(one == other)


def _is_exact(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] in _EXACT


def _are_same(some: Collection[Any], others: Collection[Any]) -> bool:
    return len(some) == len(others) and all(map(_is_same, some, others))
