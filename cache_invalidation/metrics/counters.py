"""Counting without a round trip for each event: added up here, flushed now and then."""

import atexit
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from multiprocessing import parent_process
from multiprocessing.util import Finalize, register_after_fork
from threading import Lock
from time import monotonic
from typing import Any, Final

from cache_invalidation.conf import Settings
from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.metrics import latency
from cache_invalidation.metrics.labels import labels
from cache_invalidation.metrics.notes import EVENTS, Event
from cache_invalidation.metrics.tally import Tally
from cache_invalidation.metrics.waiting import Detail, Hit, Waiting, Write
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import NAMES_FOUND, TAGS_FOUND
from cache_invalidation.tags import ROOT, family

logger = logging.getLogger("cache_invalidation")

TELL_AGAIN: Final = 3600.0  # seconds after which the store is told again what it was told

_IN_ALL: Final = frozenset({ROOT})
_NOTHING: Final[frozenset[str]] = frozenset()

# For writes of more kinds than can be told apart until the next flush.
_NOT_TOLD: Final[Write] = (frozenset({"?"}), None, None, None)


class Counters:
    """What this process counted, and found out, and has not yet added to what is in the store.

    Losing the store loses no count as long as the process lives.
    """

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, ...], Tally] = {}
        self._reads: dict[tuple[str, str], Callable[[], object]] = {}
        self._reset()

    def _reset(self) -> None:
        self._lock = Lock()
        self._drop_tallies()
        self._wait(Waiting())
        self.flush_at = 0.0
        # What was found out, of which the store was told.
        self._told: dict[str, set[str]] = {}
        self._forget_at = 0.0

    def _wait(self, waiting: Waiting) -> None:
        self._waiting = waiting
        # What every hit looks at.
        self._counts, self.hits = waiting.counts, waiting.hits

    def add(self, *names: str) -> None:
        """Add one to each of the counters `names`."""
        with self._lock:
            counts = self._counts
            for name in names:
                counts[name] += 1
        if monotonic() >= self.flush_at:
            self.flush()

    def add_read(self, outcome: str, name: str) -> None:
        """Count how a lookup of `name` ended; takes no lock, since every hit comes here."""
        one = self._reads.get((outcome, name))
        if one is None:
            one = self._reads[outcome, name] = self.tally(outcome, f"{outcome}:{name}").one
        one()
        if monotonic() >= self.flush_at:
            self.flush()

    def tally(self, *names: str) -> Tally:
        """Return what adds one to each of `names`, and takes no lock.

        Whoever calls it flushes when it is time, as `add` does.
        """
        with self._lock:
            return self._tallies.setdefault(names, Tally(names))

    def _drop_tallies(self) -> None:
        for tally in self._tallies.values():
            tally.take()

    def detail(self, amounts: Mapping[Detail, int]) -> None:
        """Add to counters of which there are only totals; see `details`."""
        with self._lock:
            details = self._waiting.details
            for name, amount in amounts.items():  # Counter.update takes several times as long.
                details[name] += amount

    def note(self, event: Event) -> None:
        """Take note that something was stored, or that nothing was there; see `notes`."""
        with self._lock:
            events = self._waiting.events
            events.append(event)
            if len(events) >= EVENTS:
                self.flush_at = 0.0

    def hit_first(self, name: str, hit: Hit, nonce: bytes, seconds: float | None) -> None:
        """Take note of a `hit` of an entry whose first hit is to be counted, perhaps not the first.

        It lives for so many `seconds`, None for ever.
        """
        with self._lock:
            if len(self.hits) < EVENTS:
                self.hits[hit] = name, nonce, seconds

    def delivered(self, seconds: float, entry: Mapping[str, Any], tags: Iterable[str] = ()) -> None:
        """Take note of a delivery of `tags` that took so long.

        `entry` is for the list of recent ones.
        """
        written = (labels(tags), entry.get("entity_type"), entry.get("cause"), entry.get("path"))
        with self._lock:
            self._waiting.recent.append(entry)
            writes = self._waiting.writes
            writes[written if written in writes or len(writes) < EVENTS else _NOT_TOLD] += 1
        self.add(f"{latency.PREFIX}{latency.bucket(seconds)}")

    def waited(
        self, entity_type: str | None, seconds: float, silent: int, by_name: Mapping[str, float]
    ) -> None:
        """Count that a write of this type has waited for those who keep near what it changes."""
        counts = {"waits": 1, "waited_us": _microseconds(seconds), "silent": int(silent > 0)}
        self.update({f"{name}:{entity_type or '?'}": n for name, n in counts.items()})
        for name, took in by_name.items():
            self.update({f"waits_for:{name}": 1, f"waited_for_us:{name}": _microseconds(took)})

    def recent(self) -> list[Mapping[str, Any]]:
        """Return the deliveries since the last flush, the oldest first."""
        with self._lock:
            return list(self._waiting.recent)

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
                self._waiting.learned.setdefault(name, set()).update(new)

    def update(self, counts: Mapping[str, int]) -> None:
        """Add `counts`, without flushing; for those that have just seen the store fail."""
        with self._lock:
            self._waiting.count(counts)

    def flush(self) -> None:
        """Add what was counted to the counters in the store; keep it if the store is down."""
        # No page must fail of a setting.
        self.flush_at = monotonic() + Settings.METRICS_FLUSH_INTERVAL.usable()
        with self._lock:
            waiting = self._waiting
            for tally in self._tallies.values():
                if number := tally.take():
                    waiting.count(dict.fromkeys(tally.names, number))
            self._wait(Waiting())
        if not waiting:
            return
        try:
            waiting.settle(get_store())
            waiting.send(get_store())
        except CacheInvalidationError:
            with self._lock:
                waiting.extend(self._waiting)
                self._wait(waiting)

    def discard(self) -> None:
        """Forget what was counted since the last flush, and all that was found out."""
        with self._lock:
            self._drop_tallies()
            self._wait(Waiting())
            self._told = {}


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


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
