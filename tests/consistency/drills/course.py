"""What the processes of a drill share, and what each of them counts. Loaded before Django is."""

import time
from collections.abc import Mapping, Sequence
from ctypes import Array, Structure, c_char, c_double, c_int, c_longlong
from dataclasses import dataclass
from enum import IntEnum
from multiprocessing.synchronize import Event, Lock
from typing import Any


class Phase(IntEnum):
    """Where a drill is."""

    BEFORE = 0
    DURING = 1  # from the beginning of the fault until everything is back to normal
    AFTER = 2


class Counts(Structure):
    """What one process has counted so far; the others can read it at any time.

    A process that is killed leaves it behind, so that nothing it has seen is lost.
    """

    requests: int
    writes: int
    misses: int
    failed: int  # because of the cache
    refused: int  # writes that the database refused or lost, or that were rolled back on purpose
    slow: int  # requests that took as long as a time-out or longer
    outages: int  # that this process has noticed
    stale: "Array[c_longlong]"  # by phase
    slowest: float  # seconds
    normal_since: float  # by the monotonic clock; 0 while the cache is not used
    error: bytes  # of the last request that failed

    _fields_ = [
        ("requests", c_longlong),
        ("writes", c_longlong),
        ("misses", c_longlong),
        ("failed", c_longlong),
        ("refused", c_longlong),
        ("slow", c_longlong),
        ("outages", c_longlong),
        ("stale", c_longlong * len(Phase)),
        ("slowest", c_double),
        ("normal_since", c_double),
        ("error", c_char * 500),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a process has to know to be one of those under load."""

    database: str
    caches: Mapping[str, Any]
    cache_invalidation: Mapping[str, Any]
    sabotage: str | None  # of `sabotage.py`, in each process


@dataclass(frozen=True, slots=True, kw_only=True)
class Course(World):
    """The rows and rules of a drill; goes to each process when that is started."""

    time_out: float  # seconds, of the sockets to the cache
    time_limit: float  # seconds, in case that nobody is left to end the drill

    icaos: Sequence[str]
    # For each row the newest value whose writer has control back after its COMMIT.
    committed: "Array[c_longlong]"
    # For each row the newest value that a plain key may not have any more.
    superseded: "Array[c_longlong]"
    # For each row the lock that makes its writers take turns, so that "newest" means something.
    locks: Sequence[Lock]

    # Those of the readers come first.
    counts: "Array[Counts]"
    readers: int
    phase: c_int
    quiet: Event  # while nobody writes
    stop: Event

    def reads(self) -> list[int]:
        """Return how many requests each reader has made."""
        return [counts.requests for counts in self.counts[: self.readers]]

    def have_all_read(self, number: int, before: list[int]) -> bool:
        """Whether each reader has made so many requests more than `before`."""
        return all(now >= then + number for now, then in zip(self.reads(), before, strict=True))

    def is_over(self, started: float) -> bool:
        """Whether a process that began at `started` has to end."""
        return self.stop.is_set() or time.monotonic() - started > self.time_limit
