"""What Django deletes together, so that nothing is told of relations that go along with a row.

A statement on the table of a relation does not say whether `clear()` has sent it, or the deletion
of a row at one end. It is the collector that knows. Its `delete` is not documented by Django; what
is relied on is covered by tests on every supported version.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import partial, wraps
from itertools import chain
from typing import Any

from django.db import connections
from django.db.models.deletion import Collector

from cache_invalidation.conf import settings
from cache_invalidation.connections import in_transaction, shielded
from cache_invalidation.observing.many_to_many import (
    deleting,
    going_along,
    is_along,
    keys_among,
    left_of,
    spelled,
    worth_asking,
)
from cache_invalidation.observing.relations import holds_to
from cache_invalidation.rules import catalog
from cache_invalidation.rules.catalog import all_rows
from cache_invalidation.rules.registry import registry
from cache_invalidation.tags import table_of
from cache_invalidation.wrapping import is_wrapped, wrap
from cache_invalidation.writes import rows
from cache_invalidation.writes.collect import is_suspended

logger = logging.getLogger("cache_invalidation")


def install() -> None:
    """Wrap `Collector.delete`. May be called again."""
    wrap(Collector, "delete", _observed)


def is_installed() -> bool:
    """Whether deletions are observed."""
    return is_wrapped(Collector, "delete")


def _observed(delete: Any, collector: Any) -> Any:
    models = chain(collector.data, (each.model for each in collector.fast_deletes))
    if catalog.many_to_many().keys().isdisjoint(models):
        return delete(collector)
    for relations in collector.fast_deletes:
        if relations.model in catalog.many_to_many() and is_along(relations.model, collector.data):
            relations._raw_delete = _along(relations, collector)
    asked = {each: partial(_left, each, collector) for each in worth_asking(collector.data)}
    with deleting(asked):
        return delete(collector)


def _left(between: Any, collector: Any, keys: Sequence[Any]) -> Mapping[Any, Any] | None:
    """Return what is at the ends of the relations with these `keys` that go by themselves.

    Django has loaded them because of a row that goes. Others may have moved one to another row
    since, which loses it now, and nobody else tells.
    """
    using = collector.using
    connection = connections[using]
    if is_suspended(using) or not in_transaction(connection):
        return None
    locked = _locked(all_rows(between, using).filter(pk__in=keys), using)
    return None if locked is None else left_of(between, locked, collector.data, connection)


def _along(relations: Any, collector: Any) -> Any:
    raw_delete = relations._raw_delete

    @wraps(raw_delete)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with going_along(_held(relations.model, collector)):
            return raw_delete(*args, **kwargs)

    return wrapper


def _held(between: Any, collector: Any) -> dict[Any, dict[Any, Any]]:
    """Return what is at the other end of the relations of rows that are about to be deleted.

    Where a rule looks at the values of these rows, they are locked by now, and nobody can add
    another relation to them, if the database holds to the foreign key. Those that are there are
    locked as well, or others could move them to another row at that end. For any other it is not
    worth a query.
    """
    using = collector.using
    found: dict[Any, dict[Any, Any]] = {}
    ends: Any = catalog.many_to_many()[between]
    for end, far in (ends, ends[::-1]):
        keys = keys_among(collector.data, end)
        plan = registry.plan(table_of(end.related_model))
        if not keys or not plan.needs_state or is_suspended(using):
            continue
        if len(keys) > settings.ROW_TAG_LIMIT or not holds_to(connections[using], end):
            continue
        locked = _locked(all_rows(between, using).filter(**{f"{end.name}__in": keys}), using)
        if locked is not None:
            held = (getattr(row, far.attname) for row in locked)
            found[end] = {far: spelled(far, held, connections[using])}
    return found


def _locked(relations: Any, using: str) -> list[Any] | None:
    """Return `relations`, about to be deleted, under a lock; None if they cannot be read."""
    try:
        with shielded(using):
            return list(rows.read_all(relations, using, deleting=True).values())
    except Exception:
        # The DELETE says what is wrong.
        logger.warning("Relations to be deleted could not be read.", exc_info=True)
        return None
