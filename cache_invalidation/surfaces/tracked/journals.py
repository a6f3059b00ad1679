"""What a unit of work, such as a request, has read: the project's own `cache.set` may depend on it.

A cached function is called, reads and returns. Who writes ``cache.get`` and ``cache.set`` may use
for a value whatever was read before, since the unit began. So all of it goes into a journal.
Queries before the first miss of a tracked key are only noted: what they have read may be in a value
if this process had seen the versions before the unit began, and they still stand when it is stored.
From that miss on, versions are sampled before each query, as for functions.
"""

import logging
import threading
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from functools import cache
from itertools import count
from typing import Any, Final, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.observing.rows_written import models_written
from cache_invalidation.reads.dependencies import NOTHING, running
from cache_invalidation.reads.read import Read
from cache_invalidation.reads.recorders import Sampled
from cache_invalidation.rules.catalog import is_excluded
from cache_invalidation.sql import Statement
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import Version, Versions
from cache_invalidation.surfaces.tracked import seen
from cache_invalidation.tags import ROOT, expand
from cache_invalidation.transactions.ahead import give_up_ahead
from cache_invalidation.transactions.batch import alive
from cache_invalidation.transactions.open_batches import written_by_this_thread

logger = logging.getLogger("cache_invalidation")

Query = tuple[Statement, Any, bool, BaseDatabaseWrapper]

NOTED: Final = 1000  # queries that are noted before the first miss
#: Seconds that a version is kept at least that is asked for in case something is set.
KEPT: Final = 3600.0

ASKED: Final = 100  # keys that were looked for, and may be set


class Asked(NamedTuple):  # Made for each hit: see `Entry`.
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
        self.is_blind = not _is_first() and begun is None
        self._asked: dict[str, Asked] = {}
        self._missing: set[str] = set()
        self._noted: list[Query] = []
        # The tags of what was noted and looked through.
        self._before: set[str] = set()

    def reads(
        self, statement: Statement, params: Any, many: bool, connection: BaseDatabaseWrapper
    ) -> None:
        self.events += 1
        if self.is_blind:
            return
        inner = running.get()
        if isinstance(inner, Sampled):
            self.root = self.root or inner.root
            self.storable = self.storable and inner.storable
        if self._missing or isinstance(inner, Sampled):
            super().reads(statement, params, many, connection)
        elif self.begun is not None:
            self._note(statement, params, many, connection)
        else:
            self.lose_track()

    def found(
        self, statement: Statement, params: Any, many: bool, connection: BaseDatabaseWrapper
    ) -> dict[type[Model], frozenset[str]]:
        found = super().found(statement, params, many, connection)
        if not all(map(_says_who_asks, filter(is_excluded, found))):
            self.storable = False  # Nobody would tell when it changes.
        return {model: tags for model, tags in found.items() if not is_excluded(model)}

    def known_of(self, tags: Collection[str]) -> dict[str, Version]:
        known, inner = super().known_of(tags), running.get()
        if isinstance(inner, Sampled):
            sampled = {**inner.conditions, **inner.versions}
            known |= {tag: v for tag in tags if (v := sampled.get(tag)) is not None}
        return known

    def _note(
        self, statement: Statement, params: Any, many: bool, connection: BaseDatabaseWrapper
    ) -> None:
        if len(self._noted) >= NOTED and not self._look_through():
            self.storable = False
            return
        self.takes_part(connection)
        query = statement, _as_it_is(params), many, connection
        self._noted.append(query)
        returns_written = statement.returns_rows and models_written(statement)
        # What this transaction has written may be rolled back before anything is set.
        if returns_written or (alive and written_by_this_thread(self._tags_of(query))):
            self.storable = False

    def reads_unknown(self, text: str) -> None:
        self.events += 1
        self.storable = False  # Nobody would tell when it changes.

    def absorb(
        self,
        versions: Versions,
        storable: bool,
        varied: Mapping[str, str] = NOTHING,
        conditions: Versions = NOTHING,
    ) -> None:
        self.events += 1
        if self.is_blind:
            return
        if self.begun is None and (self.looked is None or self.events > NOTED):
            self.lose_track()
        if not self.is_blind:
            super().absorb(versions, storable, varied, conditions)

    def lose_track(self) -> None:
        """Take note that something went in of which nobody knows what it depends on."""
        self.is_blind = True
        # It may go on for as long as the process.
        self.versions, self.conditions, self.known, self.tags = {}, {}, {}, set()
        self._noted, self._before = [], set()

    def ask(self, read: Read, events: int) -> None:
        """Take note of what `read` has found. If that is nothing, it is set next, perhaps."""
        if self.looked is None:
            self.looked = seen.now()
        if len(self._asked) >= ASKED:
            self.forget(next(iter(self._asked)))
        self._asked[read.key] = Asked(read, events)
        if not read.storable or self.is_blind:
            return
        found = read.versions or {}
        self.root = self.root or found.get(ROOT)
        # What it was told in a snapshot may be younger than what is read there; a hit may be one.
        if not read.is_hit:
            give_up_ahead()  # What is read from now on may be in what is stored.
            self.known = {**self.known, **found, **read.known}
            self.threads.add(threading.get_ident())
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
        """Return the versions of what was only noted; None if they were not seen before.

        This may find out that nothing is `storable`.
        """
        if not self._look_through():
            return None
        return sampled_before(self.begun, frozenset(self._before)) if self._before else {}

    def _look_through(self) -> bool:
        """Find out on what depends what was noted; tell whether that could be."""
        if self._noted and self.root is None:
            return False  # Nobody knows what the tables are: see `kept_relation`.
        try:
            while self._noted:
                self._before.update(self._tags_of(self._noted.pop()))
        except Exception:
            # It can be the connection of another thread, for instance.
            logger.exception("It cannot be told what was read before a tracked key was set.")
            self.storable = False
        return self.storable

    def _tags_of(self, query: Query) -> Iterable[str]:
        return expand(tag for tags in self.found(*query).values() for tag in tags)


def _as_it_is(params: Any) -> Any:
    """Return parameters as they are now: the project may use the list again, for another query."""
    if isinstance(params, Mapping):
        return {name: _as_it_is(each) for name, each in params.items()}
    return tuple(map(_as_it_is, params)) if isinstance(params, list | tuple) else params


@cache
def _says_who_asks(model: type[Model]) -> bool:
    """Whether it keeps sessions: each request reads its own, to know from whom it comes."""
    from django.contrib.sessions.base_session import AbstractBaseSession

    return issubclass(model, AbstractBaseSession)


_begun = count()


def _is_first() -> bool:
    """Whether nothing has been read in this process that a value could be made from.

    A thread may have been given anything, and so may who goes on after a request.
    """
    return next(_begun) == 0 and threading.current_thread() is threading.main_thread()


def forget() -> None:
    """Have read nothing."""
    global _begun
    _begun = count()


def sampled_before(number: int | None, tags: frozenset[str]) -> Versions | None:
    """Return the versions of `tags` that were seen before `number`; None if one was not.

    Then they are asked for, so that they have been seen when that is asked again.
    """
    versions = {} if number is None else seen.before(number, tags)
    if versions.keys() == tags:
        return versions
    see(tags)
    return None


def see(tags: Collection[str]) -> None:
    """Have seen the versions of `tags` that there are now."""
    with suppress(CacheInvalidationError):  # Then they are asked for later.
        seen.remember(get_store().mint(sorted(tags), KEPT))
