"""Keeping a lease for this process, so that it may answer from its memory alone.

A thread renews the lease three times as often as it would run out. The server refuses that until
everything has been dropped that it was told of. It is told by publish / subscribe as well, but for
speed only: what is lost there comes with the next renewal. All time is measured by the clock of
whoever waits, from before a lease was asked for; nobody has to agree on the time with anybody.
"""

import atexit
import logging
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread
from time import monotonic
from typing import Final

from cache_invalidation.conf import settings
from cache_invalidation.exceptions import CacheInvalidationError, StoreRefused
from cache_invalidation.forking import not_in_children
from cache_invalidation.stores.messages import new_token
from cache_invalidation.stores.near.memory import Lease, Memory
from cache_invalidation.stores.near.registrar import Item, Registrar, Ring
from cache_invalidation.stores.near.waiting import holder_name, lease_of

logger = logging.getLogger("cache_invalidation")

RENEWALS: Final = 3  # for each length of a lease

# Seconds after which a process that has not looked into its memory gives up its lease.
IDLE: Final = 60.0

# Seconds between two looks at the others.
TENDING: Final = 1.0

# Seconds after which the server is asked again whether it may evict who holds what. Its policy can
# be changed while it runs, and another server may have taken its place.
ASKING: Final = 10.0


class Holding:
    """The memory of this process for one alias, and the thread that keeps its lease."""

    def __init__(self, registrar: Registrar) -> None:
        self.registrar = registrar
        self._begin()

    def _begin(self) -> None:
        self.memory = Memory()
        self._lock = Lock()
        self._stopped = Event()
        self._thread: Thread | None = None
        self._told = self._refused = ""

    def after_fork(self) -> None:
        """Go on in the child of a fork, which may use nothing that its parent holds.

        With gevent, the thread is a greenlet, and is here as well. It finds that another one may be
        started, and says nothing any more: that would be taken for what its parent says.
        """
        # For what is at hand. Its lock may be that of a thread which is not here.
        self.memory.lease.until = 0.0
        self._begin()

    def holder(self) -> str:
        """Return who is to be registered for what is about to be looked up; "" for nobody."""
        lease = self.memory.lease
        if monotonic() < lease.until:
            return lease.holder
        if self._thread is None and settings.NEAR_WAIT:
            self._start()
        return ""

    def lose(self) -> None:
        """Answer nothing alone any more, until there is another lease."""
        self.memory.begin(Lease())

    def close(self) -> None:
        """Give up the lease, if there is one, so that no writer has to wait for it."""
        self._stopped.set()
        self.lose()

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None or self._stopped.is_set():
                return
            name = f"cache_invalidation near {self.registrar.alias}"
            thread = Thread(target=self._run, args=[self._stopped], name=name, daemon=True)
            self._thread = thread
            try:
                thread.start()
            except RuntimeError as error:  # There are too many, or the interpreter is about to end.
                logger.warning("Nothing is kept near: %s", error)
                self._thread = None
                return
            atexit.unregister(self._leave_at_exit)
            atexit.register(self._leave_at_exit)

    def _leave_at_exit(self) -> None:
        lease = self.memory.lease
        self.close()
        if lease.holder:
            with suppress(CacheInvalidationError):
                self.registrar.leave(lease.holder)

    def _is_over(self, stopped: Event) -> bool:
        """Whether the thread that was begun with `stopped` has to end."""
        return stopped.is_set() or stopped is not self._stopped

    def _run(self, stopped: Event) -> None:
        try:
            with not_in_children():
                self._keep_on(stopped)
        finally:
            if not stopped.is_set() and not self._told:
                self._thread = None

    def _keep_on(self, stopped: Event) -> None:
        if problem := self._problem(stopped):
            logger.warning(
                "The cache %r grants no leases (%s), so what is kept near is compared with it at "
                "each hit.",
                *(self.registrar.alias, problem),
            )
            return  # And is not asked again by this process.
        while not self._is_over(stopped):
            try:
                if self._hold(stopped):
                    break
            except CacheInvalidationError as error:
                logger.log(self._level(error), "Nothing is kept near for now: %s", error)
                stopped.wait(settings.RETRY_INTERVAL)
            except Exception:
                logger.exception("Keeping values near failed; trying again.")
                stopped.wait(settings.RETRY_INTERVAL)

    def _level(self, error: CacheInvalidationError) -> int:
        # What is refused, such as for a permission that is missing, stays so, and is told once.
        is_news = isinstance(error, StoreRefused) and str(error) != self._refused
        self._refused = str(error) if is_news else self._refused
        return logging.WARNING if is_news else logging.INFO

    def _problem(self, stopped: Event) -> str:
        told = ""
        while not self._is_over(stopped):
            try:
                told = self.registrar.grants_leases()
            except CacheInvalidationError:
                stopped.wait(settings.RETRY_INTERVAL)
            else:
                break
        if not self._is_over(stopped):
            self._told = told
        return told

    def _hold(self, stopped: Event) -> bool:
        """Keep a lease for as long as the server knows of it; tell if it is of no use any more."""
        seconds, memory = settings.NEAR_WAIT, self.memory
        lease = Lease(holder_name(new_token(), seconds))
        try:
            with self.registrar.ring(lease.holder) as ring:
                keeping = _Keeping(
                    self.registrar, memory, lease, seconds, lambda: self._is_over(stopped)
                )
                used_at = monotonic()
                while keeping.renew():
                    if lease.was_used:
                        lease.was_used, used_at = False, monotonic()
                    elif monotonic() - used_at > IDLE:
                        return True
                    if keeping.may_be_evicted():
                        return True  # Who wants another lease is told why there is none.
                    keeping.tend()
                    keeping.listen(ring)
            return False
        finally:
            memory.begin(Lease())
            if memory is self.memory:  # Else this is a child, and its parent holds on.
                with suppress(CacheInvalidationError):
                    self.registrar.leave(lease.holder)


class _Keeping:
    """One lease, from when it is asked for until it is lost."""

    def __init__(
        self,
        registrar: Registrar,
        memory: Memory,
        lease: Lease,
        seconds: float,
        is_over: Callable[[], bool],
    ) -> None:
        self._registrar = registrar
        self._is_over = is_over
        self._memory = memory
        self._lease = lease
        self._seconds = seconds
        self._has_joined = False
        self._confirmed = 0
        # What was dropped since the last renewal, by stamps: the names are told to who waits.
        self._dropped: dict[int, set[str]] = {}
        self._young: tuple[str, float] = ("", 0.0)
        self._beats: dict[str, tuple[str, float]] = {}
        self._tend_at = monotonic() + TENDING
        self._ask_at = 0.0
        self._listen_until = 0.0
        # A renewal before that is to confirm something, and a writer waits for it: it says no more.
        self._give_up_at = 0.0

    def renew(self) -> bool:
        """Renew the lease, as soon as what the server tells is dropped.

        Tell if the server knows it, and it has not to end.
        """
        registrar, lease, memory = self._registrar, self._lease, self._memory
        while not self._is_over():
            joins = not self._has_joined
            if memory.lease is not lease and not joins:
                return False  # Somebody has found out that it may not answer any more.
            sent = monotonic()
            given_up = {} if joins or sent < self._give_up_at else memory.take_given_up()
            answer = registrar.renew(
                lease.holder, self._confirmed, given_up, self._dropped, joins=joins
            )
            if answer is None:
                return False
            self._dropped = {n: names for n, names in self._dropped.items() if n > self._confirmed}
            if joins:
                self._has_joined = True
                memory.begin(lease)  # What was kept under another one is forgotten.
            for item in answer.items:
                self._drop(item)
                self._confirmed = max(self._confirmed, item.stamp)
            self._watch(answer.epoch)
            if answer.is_granted:
                lease.until = sent + self._seconds
                self._listen_until = sent + min(self._seconds / RENEWALS, TENDING)
                if sent >= self._give_up_at:
                    self._give_up_at = self._listen_until
                return not self._is_over()
        return False

    def _drop(self, item: Item) -> None:
        if names := self._memory.drop(item.stamp, item.keys):
            self._dropped.setdefault(item.stamp, set()).update(names)

    def _watch(self, epoch: str) -> None:
        """Say that an epoch is young no more, if it has been for a whole lease."""
        young, since = self._young
        if not epoch.startswith("-"):
            self._young = ("", 0.0)
        elif epoch != young:
            self._young = (epoch, monotonic())
        elif monotonic() - since > self._seconds:
            self._registrar.settle(epoch)

    def may_be_evicted(self) -> bool:
        """Tell if the server may forget who holds what; it is asked now and then."""
        now = monotonic()
        if now < self._ask_at:
            return False
        self._ask_at = now + ASKING
        return bool(self._registrar.evicts())

    def tend(self) -> None:
        """Look after the others now and then: some may have been killed."""
        now = monotonic()
        if now < self._tend_at:
            return
        self._tend_at = now + TENDING
        met = self._beats
        self._beats = {}
        for holder, beat in self._registrar.tend().items():
            known, since = met.get(holder, ("", 0.0))
            if known != beat:
                since = monotonic()
            elif now - since > lease_of(holder):
                self._registrar.bury_silent(holder, beat)
            self._beats[holder] = (beat, since)

    def listen(self, ring: Ring) -> None:
        """Drop what the server tells of, until the lease has to be renewed or to be confirmed."""
        left = self._listen_until - monotonic()
        told = ring.listen(max(0.0, left))
        if told is not None:
            before, item = told
            self._drop(item)
            if before <= self._confirmed:  # Else one before it was lost on its way.
                self._confirmed = max(self._confirmed, item.stamp)
