"""`QuerySet.update` and `bulk_create`, which send no signals, for rules that look at values.

The SQL watcher sees their statements like any other, but these do not say which rows they concern,
nor what has been in them. Here it is known. Both are documented by Django; that every other way of
writing many rows through the ORM ends in one of them, or in the watcher, is covered by tests.
"""

import inspect
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Final, cast

from django.db import connections
from django.db.models import Model, QuerySet
from django.db.models.expressions import Col, CombinedExpression, Value
from django.db.models.lookups import Lookup, Transform
from django.db.models.sql.where import WhereNode

from cache_invalidation.conf import settings
from cache_invalidation.connections import is_open_for_driver, shielded
from cache_invalidation.delivery.fencing import batch_of
from cache_invalidation.observing.rows_written import assigned_fields
from cache_invalidation.rules.catalog import all_rows
from cache_invalidation.rules.declarations import Change
from cache_invalidation.rules.loading import with_columns
from cache_invalidation.rules.registry import registry
from cache_invalidation.tags import table_of
from cache_invalidation.wrapping import is_wrapped, wrap
from cache_invalidation.writes import rows
from cache_invalidation.writes.accounted import Account
from cache_invalidation.writes.begun import Begun
from cache_invalidation.writes.collect import add, is_suspended
from cache_invalidation.writes.compiled import accounted, accounting
from cache_invalidation.writes.stored import is_rewritten, key_of, only_database_knows
from cache_invalidation.writes.writing import writing

logger = logging.getLogger("cache_invalidation")

# Whatever is made of these has the same truth for a row each time it is asked.
_STEADY: Final = (WhereNode, Lookup, Transform, Col, CombinedExpression, Value)


def install() -> None:
    """Wrap both methods. May be called again."""
    wrap(QuerySet, "update", _observed_update)
    wrap(QuerySet, "bulk_create", _observed_create)


def is_installed() -> bool:
    """Whether both are observed."""
    return is_wrapped(QuerySet, "update") and is_wrapped(QuerySet, "bulk_create")


def _observed_update(update: Any, queryset: Any, /, **kwargs: Any) -> int:
    queryset._for_write = True
    plan, connection = registry.plan(queryset.model), connections[queryset.db]
    if queryset.query.is_empty() or not plan.needs_state:
        return int(update(queryset, **kwargs))
    if is_suspended(queryset.db) or is_open_for_driver(connection):
        return int(update(queryset, **kwargs))  # No lock would be known to last.
    # In the transaction, SQLite could not be asked.
    fields = assigned_fields(queryset.model, kwargs, connection)
    if plan.is_told_by(fields):  # The watcher can tell as much, if no rule wants to know more.
        return int(update(queryset, **kwargs))
    with writing(connection):
        found = _rows_to_update(queryset, kwargs)
        if found is None:
            return int(update(queryset, **kwargs))
        return _update(queryset, update, kwargs, found, fields)


def _rows_to_update(queryset: Any, values: Mapping[str, Any]) -> dict[Any, Model] | None:
    """Return the rows that match, locked; None if there are too many, or it is hard to say."""
    if not _finds_the_same_again(queryset):
        return None
    keys = [field for table in _tables(queryset.model) for field in table._meta.pk_fields]
    if not {"pk", *(name for key in keys for name in (key.name, key.attname))}.isdisjoint(values):
        return None
    matching = queryset.order_by().select_related(None).prefetch_related(None).defer(None)
    try:
        with shielded(queryset.db):
            found = rows.read_all(matching, queryset.db, limit=settings.ROW_TAG_LIMIT)
    except Exception:
        # The table need not have all columns of the model yet. The update says what is wrong.
        logger.warning("Rows to update could not be read.", exc_info=True)
        return None
    return None if len(found) > settings.ROW_TAG_LIMIT else found


def _finds_the_same_again(queryset: Any) -> bool:
    """Whether nothing but the rows themselves, once they are locked, decides which ones match."""
    query = queryset.query
    joined = [
        join.table_name for alias, join in query.alias_map.items() if query.alias_refcount[alias]
    ]
    own = {model._meta.db_table for model in _tables(queryset.model)}
    return (
        queryset._fields is None
        and not (query.is_sliced or query.combinator or query.distinct)
        and not (query.annotations or query.extra)
        and own.issuperset(joined)
        and len(set(joined)) == len(joined)
        and _is_steady(query.where)
    )


def _tables(model: type[Model]) -> frozenset[type[Model]]:
    """Return the models whose tables an update of `model` may write: its own, its parents'."""
    return frozenset(map(table_of, (model, *model._meta.all_parents)))


def _is_steady(condition: Any) -> bool:
    if isinstance(condition, list | tuple | set | frozenset):
        return all(map(_is_steady, condition))
    if isinstance(condition, Lookup) and type(condition).__module__.startswith("django."):
        return _is_steady(condition.lhs) and _is_steady(condition.rhs)
    if not hasattr(condition, "as_sql") and not hasattr(condition, "resolve_expression"):
        return True  # A plain value.
    return (
        isinstance(condition, _STEADY)
        and type(condition).__module__.startswith("django.")
        and _is_steady(condition.get_source_expressions())
    )


def _update(
    queryset: Any,
    update: Any,
    values: dict[str, Any],
    found: dict[Any, Model],
    fields: frozenset[str] | None,
) -> int:
    model, using = table_of(queryset.model), queryset.db
    unknown = Change(model=model, operation="update", using=using, fields=fields)
    with Begun() as begun:
        account = Account(using, _tables(model), begun)
        number = int(update(accounted(queryset, account), **values))
        queryset._result_cache = None  # Django forgets that of the copy.
        changes = [unknown]
        if number == len(found):  # Else others have added rows that match, just now.
            after = _states_after(found, values, using)
            if after.keys() == found.keys():
                changes = [
                    replace(unknown, pk=key, old=old, new=after[key]) for key, old in found.items()
                ]
        _collect(changes, using)
    return number


def _states_after(
    found: Mapping[Any, Model], values: Mapping[str, Any], using: str
) -> Mapping[Any, Model]:
    if not found:
        return {}
    model = type(next(iter(found.values())))
    is_known = not any(hasattr(value, "resolve_expression") for value in values.values())
    if not is_known or is_rewritten(model):
        return rows.read_all(all_rows(model, using).filter(pk__in=found), using)
    assigned = {}
    for name, value in values.items():
        field: Any = model._meta.get_field(name)
        if isinstance(value, Model):
            value = getattr(value, field.target_field.attname)
        assigned[field.attname] = value
    after = {key: with_columns(row, assigned) for key, row in found.items()}
    if only_database_knows(next(iter(after.values())), using):
        return rows.read_all(all_rows(model, using).filter(pk__in=found), using)
    return after


_signature = cache(inspect.signature)


def _observed_create(bulk_create: Any, queryset: Any, /, *args: Any, **kwargs: Any) -> list[Any]:
    options = _signature(bulk_create).bind(queryset, *args, **kwargs).arguments
    queryset._for_write = True
    plan = registry.plan(queryset.model)
    # Only the database knows which rows are in conflict. If all are, the watcher can tell.
    is_moot = not plan or (options.get("ignore_conflicts") and not plan.needs_state)
    if not options["objs"] or is_moot or is_suspended(queryset.db):
        return cast("list[Any]", bulk_create(queryset, *args, **kwargs))
    using, table = queryset.db, table_of(queryset.model)
    written = options["objs"] = list(options["objs"])
    with writing(connections[using]), Begun() as begun:
        with accounting(Account(using, frozenset({table}), begun), written):
            created: list[Any] = bulk_create(**options)
        changes, links = _created(table, created, using, options), begun.links
        if links and not options.get("update_conflicts"):  # What was there has others, maybe.
            changes = [replace(change, links=links) for change in changes]
        _collect(changes, using)
    return created


def _created(
    model: type[Model], created: Sequence[Model], using: str, options: Mapping[str, Any]
) -> list[Change]:
    """Return what inserting rows changes, with the options of `bulk_create`."""
    replaces = bool(options.get("update_conflicts"))
    unknown = Change(model=model, operation="update" if replaces else "create", using=using)
    if not created:
        return []
    needs_state = registry.plan(model).needs_state
    keys = [key_of(row, model) for row in created]
    has_keys = None not in keys
    if replaces and (needs_state or not _is_key(model, options.get("unique_fields"))):
        return [unknown]  # The row in conflict has a key and values of its own.
    if len(created) > settings.ROW_TAG_LIMIT:
        return [unknown]
    if not needs_state:
        return [replace(unknown, pk=key) for key in keys] if has_keys else [unknown]
    states: list[Any] = []
    if not any(only_database_knows(row, using) for row in created):
        states = [rows.state_after(row, None, None, using) for row in created]
    elif has_keys:
        states = list(all_rows(model, using).filter(pk__in=keys))
    if len(states) != len(created):
        return [unknown]
    return [replace(unknown, pk=state.pk, new=state) for state in states]


def _is_key(model: type[Model], names: Sequence[str] | None) -> bool:
    return set(names or ()) in ({"pk"}, {field.name for field in model._meta.pk_fields})


def _collect(changes: Sequence[Change], using: str) -> None:
    with batch_of(using) as batch:
        for change in changes:
            add(batch, change)
