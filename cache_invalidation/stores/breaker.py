"""A circuit breaker: a store that is down costs one time-out, not one per request.

See Nygard, Release It!, "Circuit Breaker". Here it is not a request that finds out whether the
store is back, but a thread of its own; see `cache_invalidation.stores.recovery`.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from threading import Lock, get_ident

from cache_invalidation.conf import settings
from cache_invalidation.exceptions import CacheInvalidationError

logger = logging.getLogger("cache_invalidation")


class State(StrEnum):
    """Of a store, as one process sees it."""

    WORKING = "working"  # It answers, and what it holds can be trusted.
    DOWN = "down"  # It failed; nobody asks it but the thread that waits for it.
    RECOVERING = "recovering"  # It answers: writers use it again, readers do not trust it yet.


class Breaker:
    """Knows whether a store is working: down from its first failure until it is back.

    Then it is recovering, until everything has been delivered that could not be delivered
    while it was down. An outage is logged twice, when it begins and when it ends.
    """

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.state = State.WORKING
        self.outages = 0
        self.reason = ""
        self.since: datetime | None = None
        # How many invalidations were lost for good, and after how many of them everything was last
        # made invalid. Two threads may do so for the same ones.
        self.losses = 0
        self._made_up = 0
        self.failures = 0
        self._refusals: set[str] = set()
        # The thread that is finding out whether the store is back.
        self._attendant: int | None = None
        self._lock = Lock()

    @property
    def is_working(self) -> bool:
        """Whether everybody may use the store."""
        return self.state is State.WORKING

    def admits(self, *, urgent: bool) -> bool:
        """Whether this caller may use the store now; writers, who are `urgent`, earlier."""
        if self.state is State.WORKING or get_ident() == self._attendant:
            return True
        return urgent and self.state is State.RECOVERING

    @property
    def has_losses(self) -> bool:
        """Whether invalidations were lost for good since everything was last made invalid."""
        return self.losses > self._made_up

    @contextmanager
    def attended(self) -> Iterator[None]:
        """Let this thread, and no other, ask the store while it is down."""
        thread = self._attendant = get_ident()
        try:
            yield
        finally:
            if self._attendant == thread:  # Else another one has taken its place.
                self._attendant = None

    def refused(self, error: BaseException) -> None:
        """Take note that the store refuses a command; logged once for each kind of error."""
        kind = type(error).__name__
        if kind not in self._refusals:
            self._refusals.add(kind)
            logger.error("The cache %r refuses a command (%s: %s).", self.alias, kind, error)

    def failed(self, error: BaseException, outages: int | None = None) -> None:
        """Leave the store alone from now on.

        Not if there were so many `outages` when a call began that fails only now, and another one
        has come and gone since.
        """
        with self._lock:
            begins = self.state is State.WORKING
            if begins and outages is not None and outages != self.outages:
                return
            self.state = State.DOWN
            # An error of this package says already what was behind it.
            is_ours = isinstance(error, CacheInvalidationError)
            self.reason = str(error) if is_ours else f"{type(error).__name__}: {error}"
            self.failures += 1
            if begins:
                self.outages += 1
                self.since = datetime.now(UTC)
        if begins:
            logger.error(
                "The cache %r failed (%s); going on without it, trying again every %g s.",
                self.alias,
                self.reason,
                settings.RETRY_INTERVAL,
            )

    def lost(self, error: BaseException) -> None:
        """Leave the store alone until all that it holds has been made invalid."""
        with self._lock:
            self.losses += 1
        self.failed(error)

    def made_up_for(self, losses: int) -> None:
        """Take note that everything was made invalid after so many invalidations were lost."""
        with self._lock:
            self._made_up = max(self._made_up, losses)

    def answered(self) -> int:
        """Let writers use the store again; return what `caught_up` wants to be given."""
        with self._lock:
            self.state = State.RECOVERING
            return self.failures

    def caught_up(self, failures: int) -> bool:
        """Let everybody use the store again, unless it has failed since `answered`; tell if so."""
        with self._lock:
            if self.failures != failures:
                return False
            self.state, self.since, self.reason = State.WORKING, None, ""
        logger.warning("The cache %r answers again.", self.alias)
        return True

    def after_fork(self) -> None:
        """Go on in the child of a fork, where only the thread that forked is left."""
        self._lock = Lock()
        self._attendant = None
