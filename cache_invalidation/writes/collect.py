"""From one change to the batch of its transaction."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.db import connections

from cache_invalidation.connections import in_transaction
from cache_invalidation.context import during
from cache_invalidation.delivery.fencing import batch_of, deliver
from cache_invalidation.metrics.counters import counters
from cache_invalidation.rules.consequences import Consequence, consequences, say
from cache_invalidation.rules.declarations import Change
from cache_invalidation.tags import ROOT, Invalidation
from cache_invalidation.transactions.batch import Batch
from cache_invalidation.transactions.open_batches import current_batch

logger = logging.getLogger("cache_invalidation")

_suspended: ContextVar[bool] = ContextVar("cache_invalidation_suspended", default=False)


@contextmanager
def no_invalidation() -> Iterator[None]:
    """Let writes inside of the block invalidate nothing; also a decorator.

    For bulk work that ends in one ``invalidate(Model)``. Explicit calls of `invalidate` still act.
    In a coroutine, use the block: the decorator knows functions only.
    Whatever was in force before is in force again afterwards, even if the block raises.
    """
    with during(_suspended, True):
        yield


def is_suspended(using: str) -> bool:
    """Whether what is written on `using` now invalidates nothing.

    A transaction that has such writes reads around the cache from then on: what it sees must not
    be stored, and nobody could tell what depends on it.
    """
    if not _suspended.get():
        return False
    connection = connections[using]
    if in_transaction(connection):
        current_batch(connection, deliver).unsaid = True
    return True


def collect(change: Change) -> None:
    """Invalidate what `change` makes stale: with the open transaction, or at once without one."""
    if is_suspended(change.using):
        return
    with batch_of(change.using) as batch:
        add(batch, change)


def add(batch: Batch, change: Change) -> None:
    """Have `batch` invalidate what `change` makes stale: everything, if that cannot be told."""
    try:
        counted: dict[str, None] = {}  # Several rules of a model tell of one thing.
        for consequence in consequences(change):
            batch.spared |= consequence.spared
            if not consequence:
                continue
            batch.take(consequence)
            say(consequence)
            if consequence.loses_keys:
                counters.update({"failed": 1})
            if _counts(batch, change, consequence):
                counted[consequence.rule.entity_type] = None
        for entity_type in counted:
            batch.count(entity_type, change.operation)
    except Exception:
        logger.exception("What %r makes stale cannot be told; invalidating everything.", change)
        counters.update({"failed": 1})
        add_everything(batch)


def _counts(batch: Batch, change: Change, consequence: Consequence) -> bool:
    """Whether something has happened to the rule's entity type that was not counted before."""
    rule, row = consequence.rule, (consequence.rule.model, consequence.change.pk)
    is_own = issubclass(change.model, rule.model)
    if not is_own and (rule.goes_without_saying or not issubclass(rule.model, change.model)):
        return False  # A row of a multi-table child: nobody has looked whether there is one.
    if row[1] is None and change.pk is not None:
        return False  # One with another key, in a table that is not written, or tells of it itself.
    if change.operation != "delete" or change.pk is None:
        return True
    is_news = (rule.entity_type, *row) not in batch.deleted  # Each of its tables tells of it.
    batch.deleted.add((rule.entity_type, *row))
    return is_news


def add_everything(batch: Batch, cause: str = "unknown") -> None:
    """Have `batch` invalidate everything there is: nobody knows what was written."""
    batch.add(Invalidation(tags=[ROOT]), cause, cause)
