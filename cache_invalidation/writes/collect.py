"""From one change to the batch of its transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from cache_invalidation.delivery import batch_of
from cache_invalidation.resolution import consequences
from cache_invalidation.rules import Change

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


def is_suspended() -> bool:
    """Whether a `no_invalidation` block is open."""
    return _suspended.get()


def collect(change: Change) -> None:
    """Invalidate what `change` makes stale: with the open transaction, or at once without one."""
    if is_suspended():
        return
    with batch_of(change.using) as batch:
        for consequence in consequences(change):
            batch.tags |= consequence.tags
            batch.keys |= consequence.keys
            batch.patterns |= consequence.patterns
            batch.count(consequence.rule.entity_type, change.operation)
