"""A circuit breaker: a store that is down costs one time-out per interval, not one per request.

See Nygard, Release It!, "Circuit Breaker".
"""

import logging
from threading import Lock
from time import monotonic
from typing import Final

from cache_invalidation.conf import settings

logger = logging.getLogger("cache_invalidation")

SLOW: Final = 0.05  # seconds


class Breaker:
    """Closed while the store answers; open from its first failure until it answers again.

    While it is open, one caller per ``RETRY_INTERVAL`` is let through to probe the store, and so
    are writers as long as failing is quick: what they have to say is lost otherwise. An outage is
    logged twice, when it begins and when it ends.
    """

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.is_open = False
        self.outages = 0
        self.reason = ""
        # Whether finding out that it fails takes time, which not even writers can afford each time.
        self.is_slow = False
        self._refusals: set[str] = set()
        self._retry_at = 0.0
        self._lock = Lock()

    def may_probe(self) -> bool:
        """Whether this caller is the one to find out if the store is back."""
        with self._lock:
            if monotonic() < self._retry_at:
                return False
            self._retry_at = monotonic() + settings.RETRY_INTERVAL
            return True

    def refused(self, error: BaseException) -> None:
        """Take note that the store refuses a command; logged once for each kind of error."""
        kind = type(error).__name__
        if kind not in self._refusals:
            self._refusals.add(kind)
            logger.error("The cache %r refuses a command (%s: %s).", self.alias, kind, error)

    def failed(self, error: BaseException, seconds: float) -> None:
        """Leave the store alone from now on; to find out that it fails took `seconds`."""
        with self._lock:
            self.is_slow = seconds > SLOW
            begins, self.is_open = not self.is_open, True
            self.outages += begins
            self.reason = f"{type(error).__name__}: {error}"
            self._retry_at = monotonic() + settings.RETRY_INTERVAL
        if begins:
            logger.error(
                "The cache %r failed (%s); going on without it, trying again every %g s.",
                self.alias,
                self.reason,
                settings.RETRY_INTERVAL,
            )

    def recovered(self) -> None:
        """Use the store again."""
        with self._lock:
            ends, self.is_open = self.is_open, False
        if ends:
            logger.warning("The cache %r answers again.", self.alias)
