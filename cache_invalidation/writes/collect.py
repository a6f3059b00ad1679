"""From one change to the batch of its transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.db import connections

from cache_invalidation.delivery import batch_of, deliver
from cache_invalidation.resolution import consequences
from cache_invalidation.rules import Change
from cache_invalidation.transactions import current_batch, in_transaction

_suspended: ContextVar[bool] = ContextVar("cache_invalidation_suspended", default=False)


@contextmanager
def no_invalidation() -> Iterator[None]:
    """Let writes inside of the block invalidate nothing; also a decorator.

    For bulk work that ends in one ``invalidate(Model)``. Explicit calls of `invalidate` still act.
    In a coroutine, use the block: the decorator knows functions only.
    Whatever was in force before is in force again afterwards, even if the block raises.
    """
    token = _suspended.set(True)
    try:
        yield
    finally:
        _suspended.reset(token)


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
        for consequence in consequences(change):
            batch.take(consequence)
            batch.count(consequence.rule.entity_type, change.operation)
