"""What a unit of work, such as a request, has read: the project's own `cache.set` may depend on it.

A cached function is called, reads and returns. Who writes ``cache.get`` and ``cache.set`` may use
for a value whatever was read before, since the unit began. So all of it goes into a journal.
Queries before the first miss of a tracked key are only noted: what they have read may be in a value
if this process had seen the versions before the unit began, and they still stand when it is stored.
From that miss on, versions are sampled before each query, as for functions.
"""

import threading
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.reads.dependencies import NOTHING, running
from cache_invalidation.reads.protocol import Read
from cache_invalidation.reads.recorders import Sampled
from cache_invalidation.sql import Statement
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import Versions
from cache_invalidation.surfaces.tracked import seen
from cache_invalidation.tags import ROOT, expand
from cache_invalidation.transactions.batch import alive
from cache_invalidation.transactions.open_batches import written_by_this_thread

NOTED: Final = 1000  # queries that are noted before the first miss
#: Seconds that a version is kept at least that is asked for in case something is set.
KEPT: Final = 3600.0

ASKED: Final = 100  # keys that were looked for, and may be set


@dataclass(frozen=True, slots=True)
class Asked:
    """A tracked key that was looked for by `read`, which may store what is set then.

    `events` says how much had been read in the unit before.
    """

    read: Read
    events: int


class Journal(Sampled):
    """What a unit of work has read so far.

    `begun` is when, by `seen.now`; None if that is not known, as in a script.
    """

    def __init__(self, begun: int | None) -> None:
        super().__init__({}, True, {}, KEPT)
        self.begun = begun
        # When a tracked key was first looked for.
        self.looked: int | None = None
        # How much has been read.
        self.events = 0
        # Something went in of which nobody knows what it depends on.
        self.is_blind = begun is None and threading.current_thread() is not threading.main_thread()
        self._asked: dict[str, Asked] = {}
        self._missing: set[str] = set()
        self._noted: list[tuple[Statement, Any, bool, BaseDatabaseWrapper]] = []

    def reads(
        self, statement: Statement, params: Any, many: bool, connection: BaseDatabaseWrapper
    ) -> None:
        self.events += 1
        inner = running.get()
        if isinstance(inner, Sampled):
            self.known = {**self.known, **inner.versions}
        if self._missing or isinstance(inner, Sampled):
            super().reads(statement, params, many, connection)
        elif self.begun is not None:
            self._note(statement, params, many, connection)

    def _note(
        self, statement: Statement, params: Any, many: bool, connection: BaseDatabaseWrapper
    ) -> None:
        if len(self._noted) >= NOTED:
            self.storable = False
            return
        self._noted.append((statement, params, many, connection))
        # What this transaction has written may be rolled back before anything is set.
        if alive and written_by_this_thread(self._tags_noted(self._noted[-1:])):
            self.storable = False

    def reads_unknown(self, text: str) -> None:
        self.events += 1
        super().reads_unknown(text)

    def absorb(
        self, versions: Versions, storable: bool, varied: Mapping[str, str] = NOTHING
    ) -> None:
        self.events += 1
        super().absorb(versions, storable, varied)

    def ask(self, read: Read, events: int) -> None:
        """Take note of what `read` has found. If that is nothing, it is set next, perhaps."""
        if self.looked is None:
            self.looked = seen.now()
        self.root = self.root or (read.versions or {}).get(ROOT)
        self.known = {**self.known, **read.known}
        if len(self._asked) >= ASKED:
            self.forget(next(iter(self._asked)))
        self._asked[read.key] = Asked(read, events)
        if not read.is_hit:
            self._missing.add(read.key)

    def asked(self, key: str) -> Asked | None:
        """Return what is known of the lookup of `key`, if there was one."""
        return self._asked.get(key)

    def close(self, key: str) -> None:
        """Take note that what was missed is set."""
        self._missing.discard(key)

    def forget(self, key: str) -> None:
        """Take note that what was found for `key` does not count any more."""
        self._asked.pop(key, None)
        self._missing.discard(key)

    def noted(self) -> Versions | None:
        """Return the versions of what was only noted; None if they were not seen before."""
        return sampled_before(self.begun, self._tags_noted(self._noted)) if self._noted else {}

    def _tags_noted(
        self, queries: Collection[tuple[Statement, Any, bool, BaseDatabaseWrapper]]
    ) -> frozenset[str]:
        found = [self.found(*query) for query in queries]
        return frozenset(expand(tag for each in found for tags in each.values() for tag in tags))


def sampled_before(number: int | None, tags: frozenset[str]) -> Versions | None:
    """Return the versions of `tags` that were seen before `number`; None if one was not.

    Then they are asked for, so that they have been seen when that is asked again.
    """
    versions = {} if number is None else seen.before(number, tags)
    if versions.keys() == tags:
        return versions
    with suppress(CacheInvalidationError):  # Then they are asked for later.
        seen.remember(get_store().mint(sorted(tags), KEPT))
    return None
