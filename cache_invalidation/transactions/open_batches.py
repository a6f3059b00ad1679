"""The batches of the transactions that are open in this thread.

Readers and writers both need this and know nothing else of each other.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Set
from typing import Any, Final, cast

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from cache_invalidation.transactions.batch import Batch, alive

_NO_SAVEPOINT: Final[Set[Any]] = frozenset()

# Where on a connection it is kept at which place of its hooks the newest batch is.
_PLACE: Final = "_cache_invalidation_place"


def hooks(connection: BaseDatabaseWrapper) -> list[Any]:
    """Return Django's list of on_commit hooks: savepoint ids, hook, whether it is robust.

    It is not documented by Django; what is relied on is covered by tests on every supported
    version.
    """
    return cast("list[Any]", connection.run_on_commit)


def batches(connection: BaseDatabaseWrapper) -> Iterator[Batch]:
    """Iterate over the open batches of the transaction of `connection`, oldest first."""
    for _, hook, _ in hooks(connection):
        if isinstance(hook, Batch) and not hook.closed:
            yield hook


def current_batch(connection: BaseDatabaseWrapper, deliver: Callable[[Batch], object]) -> Batch:
    """Return the batch of the savepoint scope that `connection` is in, a new one if need be.

    The caller has made sure that there is a transaction.
    """
    scope = _without_none(connection.savepoint_ids)
    sids, last = _last_batch(connection)
    # A rolled back savepoint takes its hooks with it, so each needs a batch of its own. Where each
    # write is a "COMMIT" of its own, so does each write, whatever it is in the middle of.
    if last is not None and sids == scope and not _is_over(last, connection):
        return last
    batch = Batch(connection.alias, deliver)
    batch.by_hand = not (connection.in_atomic_block and connection.commit_on_exit)
    if connection.in_atomic_block:
        transaction.on_commit(batch, using=connection.alias, robust=True)
    else:
        # Django refuses hooks in a transaction that is managed by hand, but runs and drops them
        # as in any other.
        hooks(connection).append((scope, batch, True))
    connection.__dict__[_PLACE] = len(hooks(connection)) - 1
    return batch


def _last_batch(connection: BaseDatabaseWrapper) -> tuple[Set[Any], Batch | None]:
    """Return the newest open batch of the transaction, with the ids of its savepoints.

    The project may have thousands of hooks after it, and each write comes here: where it was found
    is kept on the connection.
    """
    entries, memory = connection.run_on_commit, connection.__dict__
    place = memory.get(_PLACE, len(entries))
    if place >= len(entries) or not _is_open(entries[place][1]):
        open_ones = (n for n in reversed(range(len(entries))) if _is_open(entries[n][1]))
        place = memory[_PLACE] = next(open_ones, len(entries))
    if place == len(entries):
        return _NO_SAVEPOINT, None
    return _without_none(entries[place][0]), entries[place][1]


def _without_none(sids: Collection[Any]) -> Set[Any]:
    """Return the ids of savepoints: a block with ``savepoint=False`` leaves a None.

    It cannot be rolled back by itself.
    """
    return {*sids} - {None} if sids else _NO_SAVEPOINT


def _is_open(hook: Any) -> bool:
    return isinstance(hook, Batch) and not hook.closed


def _stands_for_autocommit(connection: BaseDatabaseWrapper) -> bool:
    """Whether only a `TestCase` has opened a transaction, and each write is a "COMMIT" of its own.

    `captureOnCommitCallbacks` runs the hooks that were added while it was open, no others.
    """
    blocks = connection.atomic_blocks
    return bool(blocks) and bool(getattr(blocks[-1], "_from_testcase", False))


def _is_over(batch: Batch, connection: BaseDatabaseWrapper) -> bool:
    return _stands_for_autocommit(connection) and not batch.started


def _of_this_thread() -> Iterator[Batch]:
    # A batch in another thread, or one that somebody still refers to, such as by an exception that
    # is kept, means nothing here.
    if alive:
        for connection in connections.all(initialized_only=True):
            yield from batches(connection)


def has_any() -> bool:
    """Whether an open transaction of this thread has begun to write."""
    return any(True for _ in _of_this_thread())


def is_dirty() -> bool:
    """Whether an open transaction of this thread may have written anything."""
    return any(batch.has_written for batch in _of_this_thread())


def written_by_this_thread(tags: Iterable[str], entry: str = "") -> bool:
    """Whether an open transaction of this thread may have written to one of `tags`.

    They are given expanded. What is not settled may be about any of them. Or it may have
    invalidated the `entry` at that place.
    """
    if not alive:
        return False
    asked = frozenset(tags)
    return any(
        batch.unsaid
        or not batch.is_settled
        or entry in batch.entry_places
        or not asked.isdisjoint(batch.tags)
        or not asked.isdisjoint(batch.spared)
        for batch in _of_this_thread()
    )
