"""Refreshing a value that is about to expire, while its reader goes on with it.

What takes its place is stored only if everything still stands that the hit has found: what its
reader had at hand, such as a row, may be as old as that. So a write that comes after the hit wins,
and so does an invalidation by name.
"""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from threading import Lock
from time import monotonic, time
from typing import Any, Final

from django.db import connections
from django.utils import timezone
from django.utils.module_loading import import_string

from cache_invalidation.conf import settings
from cache_invalidation.connections import sees_snapshot
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.metrics.counters import counters
from cache_invalidation.reads.background import LONGEST, background
from cache_invalidation.reads.dependencies import apart
from cache_invalidation.reads.kept_calls import kept, read_back, stored_at
from cache_invalidation.reads.read import DUE, Read
from cache_invalidation.reads.recomputing import (
    Locale,
    NotTheSame,
    give_back,
    known,
    recompute,
    store_under,
    turn_for,
)
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import Versions
from cache_invalidation.transactions.open_batches import is_dirty

logger = logging.getLogger("cache_invalidation")

# Of its timeout, and in seconds: the least time between two attempts of this process.
_PAUSE: Final = 0.01, 1.0
_PLACES: Final = 1000

# Seconds for which this process leaves a queue alone that could not be told: a reader may have
# waited for it to fail.
_REST: Final = 10.0

THREADS: Final = "threads"


def is_due(read: Read) -> bool:
    """Whether what was hit is about to expire, by the clock of whoever has stored it."""
    at, lifetime = stored_at(read.payload), read.lifetime
    return at is not None and lifetime is not None and DUE * lifetime <= time() - at < lifetime


@dataclass(frozen=True, slots=True)
class Due:
    """What a hit has found, and has to be computed anew by whoever gets this.

    With the `token`, the lock for that was taken already.
    """

    name: str
    key: str
    place: str
    versions: Versions
    mark: str
    stored_at: float
    lifetime: float | None
    language: str | None
    zone: str | None
    token: str = ""

    def message(self) -> dict[str, Any]:
        """Return it as any queue takes it: text, and a dict of texts."""
        return asdict(self)


class _Turns:
    """When this process has last tried to refresh what is at a place, and whether it still does."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._lock = Lock()
        self._next: dict[str, float] = {}
        self._begun: set[str] = set()
        self._rests_until = 0.0

    def rest(self) -> None:
        """Let nobody tell a queue for a while."""
        self._rests_until = monotonic() + _REST

    @property
    def rests(self) -> bool:
        return monotonic() < self._rests_until

    def take(self, place: str, lifetime: float) -> bool:
        """Whether it is time to try; then it is not for a while."""
        now = monotonic()
        with self._lock:
            if place in self._begun or self._next.get(place, 0.0) > now:
                return False
            if len(self._next) >= _PLACES:
                self._next.clear()
            share, longest = _PAUSE
            self._next[place] = now + min(share * lifetime, longest)
        return True

    def begin(self, place: str) -> None:
        """Let nobody take a turn until it is `over`."""
        with self._lock:
            self._begun.add(place)

    def over(self, place: str) -> None:
        with self._lock:
            self._begun.discard(place)


_turns = _Turns()

# Nothing that the parent has begun goes on in its child.
os.register_at_fork(after_in_child=_turns._forget)


def refresh_ahead(read: Read) -> None:
    """Have the value that `read` has hit computed anew by somebody else, if that is safe.

    Raises nothing: its reader has what he came for.
    """
    try:
        if not _turns.take(read.entry, read.lifetime or 0.0):
            background.look_after()  # Whoever has the turn may wait for a thread.
            return
        if is_dirty() or sees_snapshot():
            return  # What is current for this reader is not what is committed.
        _send(read)
    except Exception as error:  # noqa: BLE001 - such as a store that is down
        _failed(read.name, read.told, error)


def _send(read: Read) -> None:
    way, here = settings.REFRESH, Locale.now()
    about = (read.name, read.key, read.entry, dict(read.versions or {}), read.mark)
    ages = stored_at(read.payload) or 0.0, read.lifetime
    due = partial(Due, *about, *ages, **asdict(here))
    if way == THREADS:
        _turns.begin(read.entry)
        task = partial(_in_thread, due(), timezone.get_current_timezone())
        if not background.run(task, partial(_hangs, read.name, read.told)):
            _turns.over(read.entry)
            _count(read.name, "dropped")
    elif not _turns.rests and (token := turn_for(read.entry, read.lifetime)):
        _after_commit(partial(_hand_over, way, due(token=token), read.told))


def _after_commit(act: Callable[[], None]) -> None:
    """Call `act` when a transaction that is open has been committed; at once if none is.

    A queue may be in the database, or none at all, and compute at once: what fails there would
    break the transaction of the reader.
    """
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            connection.on_commit(act, robust=True)
            return
    act()


def _hand_over(way: str, due: Due, told: set[str]) -> None:
    try:
        with apart():  # What a queue reads is nothing that a reader around it depends on.
            import_string(way)(due.message())
    except Exception as error:  # noqa: BLE001 - such as a broker that is down
        _turns.rest()
        _failed(due.name, told, error)


def _in_thread(due: Due, zone: Any) -> None:
    try:
        with timezone.override(zone):  # It may be one without a name.
            refresh(due)
    finally:
        _turns.over(due.place)


def refresh_message(message: Mapping[str, Any]) -> None:
    """Do what a `Due` asks for that has come as a message."""
    refresh(Due(**message))


def refresh(due: Due) -> None:
    """Compute a value anew that is still what was hit, and store it; count what became of it.

    Raises nothing but what ends a process.
    """
    told: set[str] = set()
    outcome = "failed"
    token = due.token
    try:
        with Locale(due.language, due.zone).in_force():
            function = known(due.name)
            told = function._told
            token = token or turn_for(due.place, due.lifetime)
            if not token:
                return  # Another process is at it.
            outcome = "stored" if _refreshed(function, due) else "refused"
    except NotTheSame as error:
        outcome = "elsewhere"
        logger.debug("%s() is not refreshed: %s.", due.name, error)
    except Exception as error:  # noqa: BLE001 - the project's own, and nobody waits for it
        _failed(due.name, told, error)
        return
    _count(due.name, outcome)
    # What failed keeps the lock, so that nobody tries again at once; so does whoever is killed.
    if outcome in ("stored", "refused"):
        give_back(due.place, token)


def _refreshed(function: Any, due: Due) -> bool:
    """Compute and store; return whether that was possible."""
    store = get_store()
    if store.entry_place(due.key) != due.place:
        raise NotTheSame("who is served here is somebody else")
    found = store.lookup(due.place, list(due.versions))
    record = None if found.entry is None else kept(found.entry.payload, store)
    if record is None or record.stored_at != due.stored_at:
        return False  # It has expired, or somebody has been faster.
    if dict(found.versions) != due.versions or found.mark != due.mark:
        return False  # Nor could it be stored.
    if record.call is None:
        raise NotTheSame("its arguments could not be kept")
    arguments = read_back(record.call)  # Now, and the versions are those of the hit.
    read: Read = function._read(*arguments)
    if read.key != due.key or not due.versions.keys() >= set(read.tags):
        raise NotTheSame("its arguments do not come back as they were, or what it varies on")
    read.entry, read.mark = due.place, due.mark
    store_under(read, due.versions)
    return recompute(function, read, arguments)


def _hangs(name: str, told: set[str]) -> None:
    _count(name, "hanging")
    if "hanging" not in told:
        told.add("hanging")
        logger.error("%s() is refreshed for %g seconds by now; it may hang.", name, LONGEST)


def _failed(name: str, told: set[str], error: Exception) -> None:
    _count(name, "failed")
    if "refresh" not in told and not isinstance(error, StoreUnavailable):
        told.add("refresh")
        message = "%s() could not be refreshed; its value stays until its timeout."
        logger.error(message, name, exc_info=error)


def _count(name: str, outcome: str) -> None:
    counters.add(f"refreshed:{name}:{outcome}")
