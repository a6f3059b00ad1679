"""Which batches are made while a test looks on, and what becomes of them."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Self
from unittest import mock

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from cache_invalidation.connections import in_transaction
from cache_invalidation.delivery.fencing import deliver
from cache_invalidation.transactions.batch import Batch
from cache_invalidation.transactions.open_batches import batches, current_batch, hooks
from cache_invalidation.writes.commit import ROUNDS


class Journal:
    """The batches made in any thread of this process while it is open.

    What the open transactions of this thread have collected before that stays in batches of its
    own, and is none of its business.
    """

    def __init__(self) -> None:
        self.made: list[Batch] = []
        # Which batch has absorbed which.
        self.absorbed: dict[Batch, Batch] = {}
        self._stack = ExitStack()
        self._separators: list[Batch] = []

    def __enter__(self) -> Self:
        self._stack.enter_context(mock.patch.object(Batch, "__init__", _make))
        self._stack.enter_context(mock.patch.object(Batch, "absorb", _absorb))
        self._stack.callback(_journals.remove, self)
        _journals.append(self)
        for connection in connections.all(initialized_only=True):
            self._separators += _begin_batch(connection)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
        unused = {batch for batch in self._separators if not batch.has_written}
        for connection in connections.all(initialized_only=True):
            entries = hooks(connection)
            entries[:] = [entry for entry in entries if entry[1] not in unused]

    def tell_subscribers(self) -> None:
        """Tell the subscribers of the events that wait for COMMIT, of which they hear only once."""
        for _ in range(ROUNDS):  # What they do may lead to further events.
            made = set(self.made)
            waiting = [
                (batch, deferred)
                for batch in _collecting()
                if batch in made
                for deferred in (*batch.started.values(), *batch.deferred)
            ]
            for batch, _ in waiting:
                batch.started.clear()
                batch.deferred.clear()
            for batch, deferred in waiting:
                deferred(batch)

    def effective(self) -> Iterator[tuple[Batch, Batch]]:
        """Yield the batches that were delivered, or will be with the open transactions.

        Each comes with the one that it is delivered as a part of, or with itself.
        """
        collecting = _collecting()
        for batch in self.made:
            whole = batch
            while whole in self.absorbed:
                whole = self.absorbed[whole]
            if whole.closed or whole in collecting:
                yield batch, whole

    def parts(self, whole: Batch) -> list[Batch]:
        """Return what `whole` has absorbed, be it older than the journal."""
        return [part for part, absorbing in self.absorbed.items() if absorbing is whole]


_journals: list[Journal] = []
_original_init, _original_absorb = Batch.__init__, Batch.absorb


def _make(batch: Batch, *args: Any, **kwargs: Any) -> None:
    _original_init(batch, *args, **kwargs)
    for journal in _journals:
        journal.made.append(batch)


def _absorb(batch: Batch, other: Batch) -> None:
    _original_absorb(batch, other)
    for journal in _journals:
        journal.absorbed[other] = batch


def _collecting() -> list[Batch]:
    """Return the batches of the transactions that are open in this thread."""
    opened = connections.all(initialized_only=True)
    return [batch for connection in opened for batch in batches(connection)]


def _begin_batch(connection: BaseDatabaseWrapper) -> list[Batch]:
    """Keep what is written from now on apart from what was written before.

    Returns the batches that this takes.
    """
    earlier = list(batches(connection))
    if not (earlier and in_transaction(connection)):
        return []
    for batch in earlier:
        batch.closed = True
    try:
        # The second call finds what the first has made, and so will those that write.
        return [current_batch(connection, deliver), current_batch(connection, deliver)]
    finally:
        for batch in earlier:
            batch.closed = False
