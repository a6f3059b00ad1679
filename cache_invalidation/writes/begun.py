"""What a write may have done between its first statement and the moment at which it tells.

A write cannot tell what it did before it is done, and its rows are in the database before that.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Self

from django.db.backends.base.base import BaseDatabaseWrapper

from cache_invalidation.connections import in_transaction
from cache_invalidation.delivery.fencing import batch_of, deliver
from cache_invalidation.observing.keys import Keys
from cache_invalidation.observing.rows_written import Links
from cache_invalidation.transactions.batch import Batch
from cache_invalidation.transactions.open_batches import current_batch


class Begun:
    """One write, which has told all that it did when the block ends; or something was raised.

    It has notes in the batches of its transaction meanwhile. As long as there is one, this thread
    reads around the cache. If something was raised halfway and the transaction goes on, COMMIT
    takes the notes at their word. A savepoint that is rolled back takes along both what was written
    in it and the note.
    """

    __slots__ = ("_links", "_notes")

    def __init__(self) -> None:
        self._notes: list[tuple[Batch, Hashable]] = []
        self._links: dict[Any, Keys] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None:
            for batch, key in self._notes:
                batch.deferred += filter(None, [batch.started.get(key)])
        self.end()

    def end(self) -> None:
        """Strike out the notes: all has been told."""
        for batch, key in self._notes:
            batch.started.pop(key, None)
        self._notes.clear()

    def inserts(self, links: Mapping[Any, Keys]) -> None:
        """Take note of what the foreign keys of relations hold in rows that are about to be."""
        for link, held in links.items():
            before = self._links.get(link, ())
            self._links[link] = None if before is None or held is None else (*before, *held)

    @property
    def links(self) -> Links:
        """What they hold in all rows that were inserted, as far as that is known."""
        return {link: held for link, held in self._links.items() if held is not None}

    def note(
        self, connection: BaseDatabaseWrapper, about: Hashable, tell: Callable[[Batch], None]
    ) -> None:
        """Take note that a statement is about to be executed, of which `tell` says too much.

        Without a transaction that Django knows of, nobody could act on it later: it is told now.
        """
        if not in_transaction(connection):
            with batch_of(connection.alias) as batch:
                tell(batch)
            return
        batch, key = current_batch(connection, deliver), (self, about)
        if key not in batch.started:
            batch.started[key] = tell
            self._notes.append((batch, key))
