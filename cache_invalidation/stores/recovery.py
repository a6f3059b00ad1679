"""Waiting for a store that is down, so that no request has to.

A thread asks the store once per ``RETRY_INTERVAL``. Once it answers:

1. Writers use it again at once.
2. What could not be delivered is delivered. This lasts for a while even if there is nothing: other
   processes find out a little later that the store is back, and what they write until then has to
   be delivered first as well. A writer whose thread gets no time to ask for so long asks by itself.
3. If that cannot be done completely, everything that the store holds is made invalid.
4. Readers trust it again.
5. What is left, because it was too much for the time, is delivered.

Nobody can end a thread that hangs, such as on a database that is gone. Another takes its place.
"""

import logging
import os
from collections.abc import Callable
from math import inf
from threading import Event, Lock, Thread
from time import monotonic
from typing import Final, Protocol
from weakref import WeakSet

from django.db import connections

from cache_invalidation.conf import settings
from cache_invalidation.exceptions import CacheInvalidationError, StoreRefused
from cache_invalidation.forking import not_in_children, of_this_thread
from cache_invalidation.stores.breaker import Breaker

logger = logging.getLogger("cache_invalidation")

# Of RETRY_INTERVAL: what is waited at most for others that hang.
LONGEST_ASK: Final = 10.0

# Seconds after which an attempt is taken to hang, besides those that it waits for others; twice as
# many for the next one, since each may have a connection to the database.
LONGEST_ATTEMPT: Final = 60.0

# Of RETRY_INTERVAL: what a writer may take from its last look at the state of the store to COMMIT.
MARGIN: Final = 0.5

#: Delivers what waits for a store to be back, and what is added to that until the deadline, by the
#: monotonic clock, or until it is stopped; without a deadline, once. Returns whether that is all.
Step = Callable[[float | None, Event], bool]

_steps: list[Step] = []


def on_recovery(step: Step) -> None:
    """Have `step` called before a store that was down is trusted again. May be called again."""
    if step not in _steps:
        _steps.append(step)


class Waiting(Protocol):
    """What has to be known of a store that is down."""

    alias: str
    breaker: Breaker

    @property
    def longest_ask(self) -> float: ...

    def ping(self) -> None: ...
    def drop_everything(self) -> None: ...
    def after_fork(self) -> None: ...


class _Attendant(Thread):
    """A thread that calls `attend` with itself, to wait for a store."""

    # When it began an attempt that is not over, which may hang; by the monotonic clock.
    trying_since = inf

    def __init__(self, attend: "Callable[[_Attendant], None]", name: str) -> None:
        super().__init__(target=attend, args=(self,), name=name, daemon=True)


class Recovery:
    """Of one store, whenever it is down: one thread at a time, for as long as that lasts."""

    def __init__(self, store: Waiting) -> None:
        self._store = store
        self._forget()
        _all.add(self)

    def _forget(self) -> None:
        self._lock = Lock()
        self._stopped = Event()
        self._thread: _Attendant | None = None
        self._hanging = 0
        # When somebody last began to ask without having been answered yet; by the monotonic clock.
        self._asked = monotonic()

    @property
    def is_late(self) -> bool:
        """Whether the store may be back, and others may trust it already.

        The thread should have asked again, and gets no time to, or hangs.
        """
        return monotonic() - self._asked > self._validity()

    def begin(self, asked: float | None = None) -> None:
        """Start the thread unless it runs. After a fork it has to be started anew.

        If somebody has `asked` in vain, that is when the call began, by the monotonic clock.
        """
        if asked is not None:
            self._asked = max(self._asked, asked)
        alias, failure = self._store.alias, None
        with self._lock:
            if self._stopped.is_set() or self._is_attended():
                return
            others = self._hanging
            name = f"cache_invalidation recovery of {alias}"
            self._thread = _Attendant(self._run, name)
            try:
                self._thread.start()
            except RuntimeError as error:
                # There are too many, or the interpreter is about to end. The next call tries again.
                self._thread, failure = None, error
        # Without the lock: whoever writes the log may hang, or use this cache.
        if others:
            logger.error("Whoever waits for the cache %r hangs; going on anew.", alias)
        if failure is not None:
            logger.warning("Nobody waits for the cache %r: %s", alias, failure)

    def _is_attended(self) -> bool:
        """Whether there is a thread that waits for the store, and does not hang."""
        if self._thread is None or not self._thread.is_alive():
            self._hanging = 0
            return False
        longest = self._settling() + LONGEST_ATTEMPT * 2**self._hanging
        if monotonic() - self._thread.trying_since < longest:
            return True
        self._hanging += 1
        return False

    def stop(self) -> None:
        """End the thread soon; it is not started again."""
        self._stopped.set()

    def _run(self, thread: _Attendant) -> None:
        with not_in_children():
            while not self._is_over(thread):
                begun = thread.trying_since = monotonic()
                self._try_once(thread)
                if not self._is_over(thread):
                    thread.trying_since = inf
                    self._wait_until(begun + settings.RETRY_INTERVAL)

    def _is_over(self, thread: _Attendant) -> bool:
        """Whether this thread has to end; another one may have taken its place."""
        is_replaced = self._thread is not thread
        return is_replaced or self._stopped.is_set() or self._store.breaker.is_working

    def _wait_until(self, deadline: float) -> None:
        with not_in_children():
            self._stopped.wait(max(0.0, deadline - monotonic()))

    def _try_once(self, thread: _Attendant) -> None:
        """Ask the store, and close the breaker if it is back."""
        try:
            if self._is_back(thread):
                for step in _steps:
                    self._is_done(step, None)
        except CacheInvalidationError:
            pass  # The breaker knows.
        except Exception:
            logger.exception("Cannot find out whether the cache is back; trying again.")
        finally:
            # Nobody else uses the connections of this thread.
            connections.close_all()

    def _is_back(self, thread: _Attendant) -> bool:
        """Whether the store answers, and what it holds can be trusted."""
        store, breaker = self._store, self._store.breaker
        self._asked = monotonic()
        with breaker.attended(), not_in_children():
            store.ping()
        if self._thread is not thread:
            return False  # For another one to say, which may have done so long ago.
        failures = breaker.answered()
        deadline = monotonic() + self._settling()
        # A list, since each of them has to be done.
        is_complete = all([self._is_done(step, deadline) for step in _steps])  # noqa: C419
        self._wait_until(deadline)
        if self._thread is not thread:
            return False
        losses = breaker.losses
        if breaker.has_losses or not is_complete:
            with not_in_children():
                store.drop_everything()
            breaker.made_up_for(losses)
        return breaker.caught_up(failures)

    def _settling(self) -> float:
        """Return the seconds after which no other process takes the store for down any more."""
        return self._validity() + MARGIN * settings.RETRY_INTERVAL

    def _validity(self) -> float:
        """Return the seconds after which what is known of the store is too old for a writer.

        Whoever asks it in turns has asked again by then, even if one question takes its time.
        """
        interval = settings.RETRY_INTERVAL
        return interval + min(self._store.longest_ask, LONGEST_ASK * interval)

    def _is_done(self, step: Step, deadline: float | None) -> bool:
        try:
            with not_in_children(of_this_thread()):
                return step(deadline, self._stopped)
        except StoreRefused:
            return False
        except CacheInvalidationError:
            raise
        except Exception:
            logger.exception("Cannot tell what waits for the cache; invalidating everything.")
            return False


_all: "WeakSet[Recovery]" = WeakSet()


def _after_fork() -> None:
    for recovery in list(_all):
        recovery._forget()
        try:
            recovery._store.after_fork()
        except Exception:  # The others would go on with the locks of threads that are not here.
            logger.exception("A cache cannot be used in the child of a fork.")


os.register_at_fork(after_in_child=_after_fork)
