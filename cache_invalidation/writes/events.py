"""Domain events: what a project's own words make stale, at COMMIT."""

import logging
from collections.abc import Iterable
from functools import partial
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from cache_invalidation.connections import shielded
from cache_invalidation.delivery.fencing import batch_of
from cache_invalidation.metrics.counters import counters
from cache_invalidation.rules.registry import Event, Targets, registry
from cache_invalidation.tags import Invalidation, check_name
from cache_invalidation.transactions.batch import Batch

logger = logging.getLogger("cache_invalidation")


def publish(name: str, /, *, using: str = DEFAULT_DB_ALIAS, **payload: Any) -> None:
    """Tell the subscribers of the event `name`, and invalidate what they answer.

    Inside a transaction on the database `using` they are called right before its COMMIT, so that
    what they name is fenced along with the rest, and not at all after a rollback. Until then the
    transaction reads around the cache. Outside of one, they are called at once. One that raises is
    logged and counted; the others are called anyway.

    Raises `ValueError` for a name that is not a non-empty string.
    """
    event = Event(name=check_name(name, "event name"), payload=payload)
    if not registry.subscribers_of(event.name):
        return
    with batch_of(using) as batch:
        batch.deferred.append(partial(_tell_subscribers, event))


def _tell_subscribers(event: Event, batch: Batch) -> None:
    for subscriber in registry.subscribers_of(event.name):
        try:
            with shielded(batch.alias):
                targets = subscriber(event)
            add_targets(batch, targets, event.name, f"event:{event.name}")
        except Exception:
            logger.exception("%s failed on the event %r.", _name_of(subscriber), event.name)
            counters.update({"failed": 1})


def _name_of(subscriber: Any) -> str:
    """Return the name under which the project finds it."""
    name = getattr(subscriber, "__qualname__", None)
    return f"{subscriber.__module__}.{name}" if name else repr(subscriber)


def add_targets(batch: Batch, targets: Targets, entity_type: str, cause: str) -> None:
    """Add what a subscriber or a signal handler returned; raise `TypeError` for anything else."""
    if targets is None:
        return
    for target in [targets] if isinstance(targets, Invalidation) else _checked(targets):
        batch.add(target, target.entity_type or entity_type, cause)


def _checked(targets: Any) -> Iterable[Invalidation]:
    found = list(targets) if isinstance(targets, Iterable) else [targets]
    if not all(isinstance(target, Invalidation) for target in found):
        raise TypeError(f"Return Invalidation(tags=[…]), several, or None; not {targets!r}.")
    return found
