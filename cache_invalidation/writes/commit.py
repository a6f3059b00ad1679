"""Acting around COMMIT, which Django has no hook for: the connection's `commit` is wrapped.

    settle events -> raise the fence -> COMMIT -> deliver -> the project's own on_commit hooks

Where nothing was invalidated, COMMIT is all that happens.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from inspect import unwrap
from typing import Any, Final

from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper

from cache_invalidation.connections import has_begun, is_on_each, on_each
from cache_invalidation.delivery.fencing import deliver, end_failed, raise_fence, settle
from cache_invalidation.delivery.sending import untold
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.stores import get_store
from cache_invalidation.transactions.batch import Batch
from cache_invalidation.transactions.open_batches import batches, hooks

logger = logging.getLogger("cache_invalidation")

ROUNDS: Final = 100  # of events that lead to further events

_RECEIVER: Final = "cache_invalidation.commit"


def install() -> None:
    """Wrap `commit` of every connection there is and will be. May be called again."""
    on_each(wrap, _RECEIVER)


def is_installed() -> bool:
    """Whether the open connections of this thread are wrapped, and all others will be."""
    return is_on_each(_is_wrapped, _RECEIVER)


def _is_wrapped(connection: BaseDatabaseWrapper) -> bool:
    # Others may have wrapped it as well, before or after this.
    return getattr(unwrap(connection.commit), "func", None) is _commit


def wrap(connection: BaseDatabaseWrapper) -> None:
    """Have `connection.commit()` fence and deliver what its transaction invalidated."""
    if not _is_wrapped(connection):
        wrapped: Any = connection
        commit = connection.commit
        wrapped.commit = partial(_commit, connection, commit)
        begin_or_end = connection.set_autocommit
        wrapped.set_autocommit = partial(_set_autocommit, connection, commit, begin_or_end)


def _set_autocommit(
    connection: BaseDatabaseWrapper,
    commit: Callable[[], None],
    set_autocommit: Callable[..., None],
    *args: Any,
    **kwargs: Any,
) -> None:
    """Take it for a COMMIT where there is something to commit: SQLite and MySQL do."""
    if connection.in_atomic_block or not any(batches(connection)):
        set_autocommit(*args, **kwargs)
        return
    was_idle = not _is_busy(connection)

    def act() -> None:
        if was_idle and _is_busy(connection):
            commit()  # PostgreSQL refuses as long as a row for the outbox, which is ours, is not.
        set_autocommit(*args, **kwargs)

    _commit(connection, act)


def _is_busy(connection: BaseDatabaseWrapper) -> bool:
    """Whether a connection to PostgreSQL has begun a transaction."""
    driver: Any = connection.connection
    is_postgres = connection.vendor == "postgresql" and driver is not None
    return is_postgres and bool(driver.info.transaction_status)


def commit_by(
    execute: Callable[[], Any], connection: BaseDatabaseWrapper, *, many: bool = False
) -> Any:
    """Execute a statement that commits what was written on `connection`; return what that returns.

    It may be one of `many` in a text. Nobody loses anything if it turns out that it does not
    commit, or that what follows it has begun another transaction: another COMMIT tells.
    """
    results = []

    def act() -> None:
        results.append(execute())
        if _is_busy(connection) or (connection.vendor == "sqlite" and has_begun(connection)):
            raise _StillOpenError

    with suppress(_StillOpenError):
        # Django's own `_commit()` asks nothing, not whether there is a block around it.
        _commit(connection, act, end=connection._commit, many=many)  # type: ignore[attr-defined]
    return results[0]


class _StillOpenError(Exception):
    """What was taken for a COMMIT was none."""


def _commit(
    connection: BaseDatabaseWrapper,
    commit: Callable[[], None],
    end: Callable[[], None] | None = None,
    *,
    many: bool = False,
) -> None:
    """Fence, `commit` and deliver; `end` another transaction, if that has begun one.

    With `many`, what fails may have committed before.
    """
    batch = _gather(connection)
    if not batch:
        commit()
        if batch is not None:
            batch.closed = True
        return
    fence = raise_fence(batch, connection)
    try:
        commit()
    except BaseException as error:
        batch.by_hand = True  # Django runs no hooks after this,
        end_failed(batch, fence, error, many=many)
        batch.closed = False  # but there may be another COMMIT.
        raise
    delivered = deliver(batch, fence)
    if not delivered or batch.pending is not None or _has_begun_another(connection):
        _end_delivery(connection, end or commit)


def _has_begun_another(connection: BaseDatabaseWrapper) -> bool:
    """Whether delivering may have begun a transaction: the store has, or a receiver of signals."""
    try:
        store_has = get_store().uses_database
    except StoreUnavailable:
        store_has = False
    return store_has or _is_busy(connection) or any(batches(connection))


def _end_delivery(connection: BaseDatabaseWrapper, commit: Callable[[], None]) -> None:
    """End the transaction that delivering has begun; nobody else would.

    The store may be in the database, the outbox is, and a receiver may have used it. Never raises:
    the write is committed, and must not look as if it were not.
    """
    try:
        with untold():  # What is left to be delivered is what receivers have written.
            _commit(connection, commit)
    except Error:
        logger.exception("A delivery on %r could not be committed.", connection.alias)
        connection.close()


@contextmanager
def _in_block(connection: BaseDatabaseWrapper, batch: Batch) -> Iterator[None]:
    """Let subscribers do what the block that is about to end allows, such as `on_commit`."""
    before = connection.in_atomic_block
    connection.in_atomic_block = before or not batch.by_hand
    try:
        yield
    finally:
        connection.in_atomic_block = before


def _gather(connection: BaseDatabaseWrapper) -> Batch | None:
    """Merge the batches of the savepoints which survived, if any, into one that takes their place.

    It is open until COMMIT is done. So the subscribers do not read from the cache what the
    transaction has written; and if any of this is interrupted, or refused, whoever ends the
    transaction after all finds it. A rollback drops it.
    """
    found = list(batches(connection))
    if not found:
        return None
    if len(found) == 1 and found[0].is_settled:
        return found[0]
    gathered = Batch(connection.alias, deliver)
    hooks(connection).append((set(), gathered, True))
    for _ in range(ROUNDS):
        for batch in list(batches(connection)):
            if batch is not gathered:
                gathered.absorb(batch)
        if gathered.is_settled:
            break
        with _in_block(connection, gathered):
            settle(gathered)
    else:
        logger.error("Events keep leading to further events; %s are ignored.", gathered.deferred)
        gathered.deferred.clear()
    hooks(connection)[:] = [
        entry
        for entry in hooks(connection)
        if not (isinstance(entry[1], Batch) and entry[1].closed)
    ]
    return gathered
