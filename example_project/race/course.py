"""What the processes of a race share, and what each of them counts. Loaded before Django is."""

import time
from collections.abc import Sequence
from ctypes import Array, Structure, c_longlong
from dataclasses import dataclass
from multiprocessing.synchronize import Event, Lock
from typing import Any


class Tally(Structure):
    """What one process has counted so far; the parent can read it at any time."""

    reads: int
    misses: int
    stale: int
    writes: int

    _fields_ = [
        ("reads", c_longlong),
        ("misses", c_longlong),
        ("stale", c_longlong),
        ("writes", c_longlong),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The rows and rules of a race; goes to each process when that is started."""

    # Django's settings as they are in the parent, which may have changed them for a test.
    settings: dict[str, Any]
    strategy: str  # dotted path
    pause: float  # seconds
    write_interval: float  # seconds
    reads_per_write: float
    time_limit: float  # seconds

    icaos: Sequence[str]
    # For each row the newest value whose writer has control back after its COMMIT.
    committed: "Array[c_longlong]"
    # For each row the lock that makes its writers take turns, so that "newest" means something.
    locks: Sequence[Lock]
    tallies: "Array[Tally]"

    go: Event
    stop: Event

    def total(self) -> Tally:
        """Return what all processes have counted so far."""
        total = Tally()
        for tally in self.tallies:
            total.reads += tally.reads
            total.misses += tally.misses
            total.stale += tally.stale
            total.writes += tally.writes
        return total

    def is_over(self, started: float) -> bool:
        """Whether a process that began at `started` has to end.

        If the parent has been killed nobody asks it to, so there is a limit besides.
        """
        return self.stop.is_set() or time.monotonic() - started > self.time_limit
