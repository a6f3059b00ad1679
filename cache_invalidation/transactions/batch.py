"""What is invalidated in one savepoint scope of one transaction."""

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Set
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import ref

from django.db.models import Model

from cache_invalidation.exceptions import StoreRefused, StoreUnavailable
from cache_invalidation.stores import get_store
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.messages import tracked_name
from cache_invalidation.stores.tracking import Tracking
from cache_invalidation.tags import Invalidation
from cache_invalidation.transactions.ahead import give_up_ahead

logger = logging.getLogger("cache_invalidation")

# Every batch there is, in any thread. As long as there is none, which is what a reader meets nearly
# always, nobody has to look through the connections for those of this thread. (A `WeakSet` takes
# longer to say that it is empty.)
alive: "set[ref[Batch]]" = set()


class Targets(Protocol):
    """Whatever names tags, keys and patterns."""

    @property
    def tags(self) -> Set[str]: ...
    @property
    def keys(self) -> Set[str]: ...
    @property
    def patterns(self) -> Set[str]: ...


@dataclass(frozen=True, slots=True)
class Pending:
    """A row of the outbox: the database it is in, its key, whether a rollback leaves it there."""

    using: str
    pk: int
    apart: bool


class Batch:
    """Everything invalidated in one savepoint scope of one transaction.

    It is an ``on_commit`` hook, so that Django itself drops it when its savepoint or its
    transaction is rolled back. Calling it delivers it, once.
    """

    __slots__ = (
        "__weakref__",
        "alias",
        "by_hand",
        "causes",
        "closed",
        "deferred",
        "deleted",
        "deliver",
        "entities",
        "entry_places",
        "key_places",
        "pattern_places",
        "pending",
        "reported",
        "spared",
        "started",
        "tags",
        "unsaid",
    )

    def __init__(self, alias: str, deliver: "Callable[[Batch], object]") -> None:
        self.alias = alias
        self.deliver = deliver
        # Whether the project ends the transaction itself, and Django runs no hooks right after it.
        self.by_hand = False
        self.tags: set[str] = set()
        # What the project calls the keys, patterns and entries, by where the cache keeps them for
        # who was served when they were named: that may be somebody else when they are delivered.
        self.key_places: dict[str, str] = {}
        self.pattern_places: dict[str, str] = {}
        self.entry_places: dict[str, str] = {}
        self.entities: Counter[str] = Counter()
        self.causes: Counter[str] = Counter()
        # What is only known at COMMIT, such as what the subscribers of an event answer.
        self.deferred: list[Callable[[Batch], None]] = []
        # What has begun to write and has not told what: how to find out without it, if need be.
        self.started: dict[Hashable, Callable[[Batch], None]] = {}
        self.closed = False
        # Where it waits to be delivered, if the cache could not be told.
        self.pending: Pending | None = None
        # The rows whose deletion is counted already, by entity type.
        self.deleted: set[tuple[str, type[Model], Any]] = set()
        # The rows whose deletion was announced, and whose DELETE is yet to come.
        self.reported: set[tuple[type[Model], Any]] = set()
        # Whether something was written of which nobody is told; nothing may be stored after it.
        self.unsaid = False
        # Tags of rows that were written in a way that the rules ignore: nobody is told. Until the
        # transaction ends, what is read under them must not be stored all the same.
        self.spared: set[str] = set()
        alive.add(ref(self, alive.discard))
        give_up_ahead()  # Every write has a batch before it happens.

    def __call__(self) -> None:
        if not self.closed:
            self.deliver(self)

    def __bool__(self) -> bool:
        places = self.key_places or self.pattern_places or self.entry_places
        return bool(self.tags or places or not self.is_settled)

    @property
    def keys(self) -> set[str]:
        """The plain keys, as the project calls them."""
        return set(self.key_places.values())

    @property
    def patterns(self) -> set[str]:
        """The patterns, as the project calls them."""
        return set(self.pattern_places.values())

    @property
    def entries(self) -> set[str]:
        """What the `key()` of cached functions returns for the entries."""
        return set(self.entry_places.values())

    @property
    def has_written(self) -> bool:
        """Whether something was written, of which anybody is told or nobody."""
        return bool(self or self.unsaid or self.spared)

    @property
    def is_settled(self) -> bool:
        """Whether it is known what it makes stale."""
        return not (self.deferred or self.started)

    def add(self, invalidation: Invalidation, entity_type: str, cause: str) -> None:
        """Take in what one thing that happened makes stale."""
        self.take(invalidation)
        self.count(entity_type, cause)

    def take(self, targets: "Targets") -> None:
        """Take in what is stale, without counting it."""
        self.tags |= targets.tags
        if targets.keys or targets.patterns:
            self._take_plain(targets)

    def _take_plain(self, targets: "Targets") -> None:
        try:
            store = get_store()
        except StoreUnavailable:
            # There is no such cache, and so no place in it.
            self.key_places.update((key, key) for key in targets.keys)
            self.pattern_places.update((pattern, pattern) for pattern in targets.patterns)
            return
        patterns = targets.patterns
        try:
            if (tracking := store.tracking) is not None:
                patterns = {each for each in patterns if not tracking.covers(each)}
                self._take_tracked(targets, store, tracking)
            self.key_places.update((store.place(key), key) for key in targets.keys)
            self.pattern_places.update((store.pattern_place(p), p) for p in patterns)
        except StoreRefused as error:
            # Neither can anybody else: they stay what they are.
            logger.error(
                "Cannot tell where the cache keeps the keys %s and what matches %s, so nothing is "
                "deleted there: %s",
                *(sorted(targets.keys), sorted(targets.patterns), error),
            )

    def _take_tracked(self, targets: "Targets", store: Store, tracking: Tracking) -> None:
        names = [tracked_name(key, store.version) for key in targets.keys if tracking.glob_of(key)]
        self.entry_places.update((store.entry_place(name), name) for name in names)
        self.tags.update(*map(tracking.tags_of, targets.patterns))

    def count(self, entity_type: str, cause: str) -> None:
        """Take note that one thing happened to an `entity_type`."""
        self.entities[entity_type] += 1
        self.causes[cause] += 1

    def absorb(self, other: "Batch") -> None:
        """Take over all of `other`, which delivers nothing afterwards."""
        self.tags |= other.tags
        self.key_places |= other.key_places
        self.pattern_places |= other.pattern_places
        self.entry_places |= other.entry_places
        self.entities.update(other.entities)
        self.causes.update(other.causes)
        self.deferred += other.deferred
        self.started.update(other.started)
        self.by_hand |= other.by_hand
        self.unsaid |= other.unsaid
        self.spared |= other.spared
        other.closed = True
