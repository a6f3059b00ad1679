"""What the open transactions of this thread have written, and what they can see.

Readers and writers both need this and know nothing else of each other.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast
from weakref import WeakSet

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from cache_invalidation.connections import in_transaction
from cache_invalidation.exceptions import StoreRefused, StoreUnavailable
from cache_invalidation.rules.declarations import Invalidation
from cache_invalidation.stores import get_store

logger = logging.getLogger("cache_invalidation")

# Every batch there is, in any thread. As long as there is none, which is what a reader meets nearly
# always, nobody has to look through the connections for those of this thread.
_alive: "WeakSet[Batch]" = WeakSet()


_NO_SAVEPOINT: Final[Set[Any]] = frozenset()

# Where on a connection it is kept at which place of its hooks the newest batch is.
_PLACE: Final = "_cache_invalidation_place"


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
        # The rows whose deletion is counted already.
        self.deleted: set[tuple[type[Model], Any]] = set()
        # The rows whose deletion was announced, and whose DELETE is yet to come.
        self.reported: set[tuple[type[Model], Any]] = set()
        # Whether something was written of which nobody is told; nothing may be stored after it.
        self.unsaid = False
        _alive.add(self)

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
        try:
            self.key_places.update((store.place(key), key) for key in targets.keys)
            self.pattern_places.update((store.pattern_place(p), p) for p in targets.patterns)
        except StoreRefused as error:
            # Neither can anybody else: they stay what they are.
            logger.error(
                "Cannot tell where the cache keeps the keys %s and what matches %s, so nothing is "
                "deleted there: %s",
                *(sorted(targets.keys), sorted(targets.patterns), error),
            )

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
        other.closed = True


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


@contextmanager
def shielded(using: str) -> Iterator[None]:
    """Keep a query of the project's rules from breaking the transaction that they run in.

    If the block raises, the transaction on `using` goes on as if the block had not queried it. The
    savepoint that this takes is made with the first query, so that code without one costs nothing.
    """
    connection = connections[using]
    if not in_transaction(connection) or connection.needs_rollback:
        yield
        return
    savepoints: list[str | None] = []

    def begin(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        if not savepoints:
            savepoints.append(None)  # Making one is a statement, too, and comes here.
            savepoints[0] = connection.savepoint()
        return execute(sql, params, many, context)

    try:
        with connection.execute_wrapper(begin):
            yield
        for sid in filter(None, savepoints):
            connection.savepoint_commit(sid)
    except BaseException:
        for sid in filter(None, savepoints):
            # First, since no statement is let through otherwise, not even this one.
            connection.needs_rollback = False
            connection.savepoint_rollback(sid)
        raise


def written_by_this_thread(tags: Iterable[str], entry: str = "") -> bool:
    """Whether an open transaction of this thread may have written to one of `tags`.

    They are given expanded. What is not settled may be about any of them. Or it may have
    invalidated the `entry` at that place.
    """
    if not _alive:
        return False
    asked = frozenset(tags)
    return any(
        batch.unsaid
        or not batch.is_settled
        or entry in batch.entry_places
        or not asked.isdisjoint(batch.tags)
        for connection in connections.all(initialized_only=True)
        for batch in batches(connection)
    )
