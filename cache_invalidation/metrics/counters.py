"""Counting without a round trip for each event: added up here, flushed now and then."""

import atexit
import json
import logging
import os
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from multiprocessing import parent_process
from multiprocessing.util import Finalize, register_after_fork
from threading import Lock
from time import monotonic
from typing import Any, Final

from cache_invalidation.conf import Settings
from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.metrics import latency
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import NAMES_FOUND, RECENT, TAGS_FOUND
from cache_invalidation.tags import ROOT, family

logger = logging.getLogger("cache_invalidation")

TELL_AGAIN: Final = 3600.0  # seconds after which the store is told again what it was told

_IN_ALL: Final = frozenset({ROOT})
_NOTHING: Final[frozenset[str]] = frozenset()


class Counters:
    """What this process counted, and found out, and has not yet added to what is in the store.

    Losing the store loses no count as long as the process lives.
    """

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._lock = Lock()
        self._counts: Counter[str] = Counter()
        self._recent: deque[Mapping[str, Any]] = deque(maxlen=RECENT)
        self._flush_at = 0.0
        # What was found out since the last flush, and before it.
        self._learned: dict[str, set[str]] = {}
        self._told: dict[str, set[str]] = {}
        self._forget_at = 0.0

    def add(self, *names: str) -> None:
        """Add one to each of the counters `names`."""
        with self._lock:
            counts = self._counts
            for name in names:
                counts[name] += 1
        if monotonic() >= self._flush_at:
            self.flush()

    def delivered(self, seconds: float, entry: Mapping[str, Any]) -> None:
        """Take note of a delivery that took so long; `entry` is for the list of recent ones."""
        with self._lock:
            self._recent.append(entry)
        self.add(latency.counter(seconds))

    def found(self, name: str, tags: Iterable[str]) -> None:
        """Take note that `name` was found to depend on `tags`: the store is told what is new.

        Of the tags of a family, that is the family tag. Everything counts as new once an hour,
        since the store may have forgotten it.
        """
        families = {family(tag) or tag for tag in tags} - _IN_ALL
        if monotonic() >= self._forget_at:
            self._told, self._forget_at = {}, monotonic() + TELL_AGAIN
        if families <= self._told.get(name, _NOTHING):
            return
        with self._lock:
            if name not in self._told and len(self._told) >= NAMES_FOUND:
                return
            told = self._told.setdefault(name, set())
            new = sorted(families - told)[: max(0, TAGS_FOUND - len(told))]
            told.update(new)
            if new:
                self._learned.setdefault(name, set()).update(new)

    def update(self, counts: Mapping[str, int]) -> None:
        """Add `counts`, without flushing; for those that have just seen the store fail."""
        with self._lock:
            self._counts.update(counts)

    def flush(self) -> None:
        """Add what was counted to the counters in the store; keep it if the store is down."""
        # No page must fail of a setting.
        self._flush_at = monotonic() + Settings.METRICS_FLUSH_INTERVAL.usable()
        with self._lock:
            counts, self._counts = self._counts, Counter()
            recent = list(self._recent)
            self._recent.clear()
            learned, self._learned = self._learned, {}
        if not (counts or recent or learned):
            return
        try:
            get_store().count(counts, [json.dumps(entry) for entry in recent], learned)
        except CacheInvalidationError:
            self.update(counts)
            with self._lock:
                self._recent = deque([*recent, *self._recent], maxlen=RECENT)
                for name, tags in learned.items():
                    self._learned.setdefault(name, set()).update(tags)

    def discard(self) -> None:
        """Forget what was counted since the last flush, and all that was found out."""
        with self._lock:
            self._counts.clear()
            self._recent.clear()
            self._learned, self._told = {}, {}


counters = Counters()

# A child must not count what its parent counted; a process that ends must not take counts along.
os.register_at_fork(after_in_child=counters._reset)


@atexit.register
def flush_at_exit() -> None:
    """Flush in a process that is about to end, and lose what cannot be flushed."""
    # A server that was stopped before this process is no outage that anybody has to hear of.
    logger.setLevel(logging.CRITICAL)
    with suppress(Exception):
        get_store().recovery.stop()  # Nobody is going to wait for it.
        counters.flush()


def _flush_child_at_exit(_: Counters) -> None:
    Finalize(None, flush_at_exit, exitpriority=0)


# Many children of multiprocessing end without calling what is registered with atexit. This may be
# loaded before they are forked, or in them.
register_after_fork(counters, _flush_child_at_exit)
if parent_process() is not None:
    _flush_child_at_exit(counters)
