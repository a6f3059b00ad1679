"""Get, set and delete for tracked keys: what the project does through Django's cache API."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from time import perf_counter
from typing import Any, Final

from cache_invalidation.delivery.fencing import drop
from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.metrics.counters import counters
from cache_invalidation.reads.consistency import recomputing
from cache_invalidation.reads.dependencies import Dependencies, collecting, running
from cache_invalidation.reads.measured import count_computing, count_not_stored
from cache_invalidation.reads.near import Looking
from cache_invalidation.reads.observed import tell_computed
from cache_invalidation.reads.protocol import attempt, look_once, looks_for_all
from cache_invalidation.reads.read import Look, Read
from cache_invalidation.reads.recorders import Sampled
from cache_invalidation.reads.storing import fail, finish, learn, store
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import tracked_name
from cache_invalidation.surfaces.tracked import seen, stored
from cache_invalidation.surfaces.tracked.journals import Asked, Journal, sampled_before, see
from cache_invalidation.surfaces.tracked.names import name_of, tags_of
from cache_invalidation.surfaces.tracked.origins import call_of, carries_nothing, say_unknown
from cache_invalidation.surfaces.tracked.stored import Blind
from cache_invalidation.surfaces.tracked.units import current
from cache_invalidation.transactions.open_batches import is_dirty, written_by_this_thread

logger = logging.getLogger("cache_invalidation")

MISSING: Final = object()


class Key:
    """One tracked key, in the middle of being used.

    `glob` is what tracks it, `lifetime` is for how long it is kept if nobody says how long. If it
    is `near`, this process may keep its value in its memory.

    Nothing in here raises for a failure of the store; what the serializer raises is raised.
    """

    def __init__(
        self, key: str, version: int, glob: str, lifetime: float | None, *, near: bool = False
    ) -> None:
        self.key = key
        self.glob = glob
        self.name = name_of(glob)
        self.entry = tracked_name(key, version)
        self.lifetime = lifetime
        self.near = near

    @property
    def _mark(self) -> str:
        """The name under which it is remembered which mark was seen beside it."""
        return f"mark {self.entry}"

    def place(self) -> str:
        """Return where it is in the cache. Raises `CacheInvalidationError` if nobody can tell."""
        return get_store().entry_place(self.entry)

    def get(self) -> Any:
        """Return the value, or `MISSING`; what is set then may depend on all that is read."""
        return self.value_of(self.look(current(), read=self.read(near=self.near)))

    def read(self, *, near: bool = False) -> Read:
        """Return a lookup of it, which has not begun; `near`, for one that only wants the value."""
        return Read(
            self.name,
            self.entry,
            tags_of(self.key, self.glob),
            self.lifetime,
            records=True,
            codec=stored,
            overwrites=True,
            near=near,
        )

    def look(self, journal: Journal, look: Look | None = None, read: Read | None = None) -> Read:
        """Look for the value, and have `journal` know; what was found is in what is returned."""
        read, events = read or self.read(), journal.events
        for _ in attempt(read, look):
            pass  # Nobody waits, without a lock.
        if read.is_hit:
            read.storable = True
        seen.remember(read.versions or {}, read.known)
        if read.mark and read.storable:  # One that stands beside a fence is not there for good.
            seen.remember({self._mark: read.mark})
        journal.ask(read, events)
        return read

    def value_of(self, read: Read) -> Any:
        """Return what `read` has found, or `MISSING`."""
        value = read.value if read.is_hit else self._plain(read)
        read.value = read.payload = read.plain = None  # Nobody needs it as long as there is a unit.
        if not isinstance(value, Blind):
            return value
        # Who gets it does not know either.
        current().lose_track()
        if (outer := running.get()) is not None:
            outer.absorb({}, False)
        return value.value

    def _plain(self, read: Read) -> Any:
        """Return what is there that was not set, such as a counter."""
        if read.plain is None:
            return MISSING
        try:
            return Blind(get_store().decode(read.plain))
        except (ValueError, CacheInvalidationError):
            return MISSING

    def has(self) -> bool:
        """Whether there is a value; if there is none, who asks may set it, as after `get`."""
        read = self.look(current())
        return read.is_hit or read.plain is not None

    def exists(self) -> bool:
        """Whether there is a value, for who does something to it, whatever it is."""
        read = self.read()
        try:
            look_once(read, computes=False)
        except CacheInvalidationError:
            return False
        return read.is_hit or read.plain is not None

    def set(self, value: Any, timeout: float | None) -> bool:
        """Keep `value` for so many seconds, until what it depends on changes; tell whether it is.

        It depends on all that was read since the unit of work began.
        """
        journal = current()
        read = self.read()
        try:
            asked = journal.asked(self.entry)
            if asked is not None and asked.read.entry != self.place():
                asked = None  # That was for another tenant.
            read = read if asked is None else asked.read
            read.timeout, read.call = timeout, None
            # What is lazy in it is evaluated by this, while that is recorded.
            payload = stored.encode(value, get_store())
        except CacheInvalidationError:
            return self._count("unavailable")
        finally:
            journal.close(self.entry)
        if self.is_blind(journal, asked):
            return self._set_blind(value, timeout)
        reason: str | None = "unavailable"
        try:
            dependencies = self._dependencies(journal, read, is_asked=asked is not None)
            reason = self._store(read, payload, dependencies)
            tell_computed(read, dependencies, () if reason is None else (reason,))
        except CacheInvalidationError:
            pass
        if reason is not None:
            return self._refuse(reason, is_missing=asked is not None and not read.is_hit)
        read.is_hit = True  # Should it be replaced.
        return self._count(None)

    def is_blind(self, journal: Journal, asked: Asked | None) -> bool:
        """Whether nobody knows where a value comes from that is set now."""
        if journal.is_blind or journal.looked is None:
            return True
        return journal.begun is None and (asked is None or asked.events > 0)

    def _dependencies(self, journal: Journal, read: Read, *, is_asked: bool) -> Dependencies:
        """Return what a value depends on that is set now.

        Raises `CacheInvalidationError` if the store fails.
        """
        if not is_asked:
            look_once(read)
            read.is_hit, read.versions = False, {}
            own = {tag: v for tag in read.tags if (v := journal.versions.get(tag)) is not None}
            rest = sampled_before(journal.looked, frozenset(read.tags).difference(own))
            # A mark says that it was deleted not long ago, perhaps since the value was computed.
            read.storable = rest is not None and not read.mark
            read.versions = own | dict(rest or {})
        noted = journal.noted()
        dependencies = Dependencies(read.versions or {}, read.storable)
        dependencies.absorb(journal.versions, journal.storable, conditions=journal.conditions)
        dependencies.absorb(noted or {}, noted is not None)
        if noted and not self._stood_before(journal, read):
            dependencies.storable = False
            see(dependencies.versions)
        return dependencies

    def _stood_before(self, journal: Journal, read: Read) -> bool:
        """Whether nobody has deleted this key, or what begins like it, since the unit began."""
        own = {tag: (read.versions or {}).get(tag) for tag in read.tags}
        own |= {self._mark: read.mark} if read.mark else {}
        return seen.before(journal.begun or 0, own) == own

    def _store(self, read: Read, payload: bytes, dependencies: Dependencies) -> str | None:
        versions = dependencies.versions
        if written_by_this_thread(versions, read.entry):
            self.drop()
            return "dependencies"
        learn(read, dependencies)
        if not read.is_hit and read.absence is not None:
            count_computing(self.name, perf_counter() - read.absence.since)
        if not dependencies.storable:
            return "dependencies" if read.storable else "unavailable"
        self._keep_near(read)
        reason = store(read, payload, versions, dependencies.conditions)
        if reason == "dependencies":
            see(versions)  # What was seen of them before would be refused the next time, too.
        return reason

    def _keep_near(self, read: Read) -> None:
        """Have what is stored next be kept in the memory of this process as well."""
        kept = get_store()
        if self.near and kept.near is not None:
            read.looking = Looking(read, kept, kept.near)

    def _set_blind(self, value: Any, timeout: float | None) -> bool:
        """Keep a value of which nobody knows what it depends on, if the project allows that."""
        tracking = get_store().tracking
        if is_dirty():
            self.drop()
        elif tracking is not None and tracking.may_be_blind(self.key):
            return self._keep_blind(value, timeout)
        say_unknown(self.key, self.name, Key.set)
        return self._refuse("blind", is_missing=False)

    def _keep_blind(self, value: Any, timeout: float | None) -> bool:
        read = self.read()
        read.timeout = timeout
        read.refresh = True  # What is there does not count.
        reason: str | None = "unavailable"
        with suppress(CacheInvalidationError):
            look_once(read)
            payload = stored.encode(Blind(value), get_store())
            if read.storable:
                self._keep_near(read)
                reason = store(read, payload, read.versions or {})
        return self._count(reason, "blind")

    def _count(self, reason: str | None, how: str = "sealed") -> bool:
        """Count how a value is kept, or for which reason it is not; tell whether it is."""
        kind, detail = ("stored", how) if reason is None else ("unstored", reason)
        counters.add(f"{kind}:{self.name}:{detail}")
        if reason is not None:
            with suppress(CacheInvalidationError):
                count_not_stored(self.place())
        return reason is None

    def _refuse(self, reason: str, *, is_missing: bool) -> bool:
        """Count why a value is not kept; what it should have replaced must not be found either.

        Where nothing was found, somebody else has put there what is there now.
        """
        if not is_missing:
            self.remove()
        return self._count(reason)

    def remove(self) -> None:
        """Delete what is there now, for whatever reason it is there."""
        try:
            get_store().remove(self.place(), partial(counters.waited, self.name))
        except CacheInvalidationError as error:
            logger.warning("Could not delete %r: %s", self.key, error)

    def get_or_set(self, default: Any, timeout: float | None) -> Any:
        """Return the value; if there is none, keep and return `default`, or what it returns."""
        journal = current()
        read = self.look(journal, read=self.read(near=self.near))
        if (found := self.value_of(read)) is not MISSING:
            return found
        if timeout == 0:  # Nothing is to be kept.
            journal.close(self.entry)
            return default() if callable(default) else default
        if callable(default) and carries_nothing(default):
            return self._compute(read, default, timeout)
        value = default() if callable(default) else default
        self.set(value, timeout)
        return value

    def _compute(self, read: Read, function: Callable[[], Any], timeout: float | None) -> Any:
        """Return what `function` returns; it can only depend on what it reads itself."""
        read.timeout, read.function, read.call = timeout, function, call_of(function)
        dependencies = read.dependencies()
        current().close(self.entry)
        try:
            with collecting(dependencies):
                value = function()
        except BaseException:
            fail(read, dependencies)
            self._count("exception")
            raise
        if isinstance(dependencies, Sampled) and dependencies.unwatched:
            dependencies.storable = False
        self._count(finish(read, value, dependencies))
        return value

    def drop(self) -> None:
        """Make what is there stale: at COMMIT inside a transaction, else at once."""
        current().forget(self.entry)
        try:
            drop(self.name, {self.place(): self.entry})
        except CacheInvalidationError as error:
            logger.error("Cannot tell where %r is kept: %s", self.key, error)


def get_many(keys: Sequence[Key]) -> list[Any]:
    """Return what `Key.get` returns for each of them, in one round trip."""
    if recomputing.get() is not None:
        return [key.get() for key in keys]
    journal, reads = current(), [key.read(near=key.near) for key in keys]
    try:
        looks = looks_for_all(reads)
    except CacheInvalidationError:
        return [key.get() for key in keys]  # Which counts them.
    return [
        key.value_of(key.look(journal, look, read))
        for key, read, look in zip(keys, reads, looks, strict=True)
    ]
