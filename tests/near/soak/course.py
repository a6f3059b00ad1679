"""What the processes of a soak share, and what each of them counts.

Any of them may be killed at any moment, so there are no locks: each number has one writer.
"""

import time
from collections.abc import Sequence
from ctypes import Array, Structure, c_char, c_double, c_int, c_longlong
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from tests.consistency.drills.course import World

KEYS: Final = "soak:"  # what those begin with that are tracked


class State(IntEnum):
    """What everybody does."""

    RACE = 0
    HUSH = 1  # readers read, and nobody writes
    LOOK = 2  # each reader compares everything with the database, once
    END = 3


class Tally(Structure):
    """What one process has counted so far, and whoever came in its place when it was killed."""

    reads: int
    near: int  # reads for which nobody had to ask the server
    misses: int
    stale: int
    writes: int
    failed: int  # reads and writes that raised
    left: int  # values that were old when nobody wrote any more
    looks: int  # rounds after which it has looked for these
    is_hushed: int
    remark: bytes  # on what was wrong first
    wrong_at: float  # when that was, by the monotonic clock

    _fields_ = [
        ("reads", c_longlong),
        ("near", c_longlong),
        ("misses", c_longlong),
        ("stale", c_longlong),
        ("writes", c_longlong),
        ("failed", c_longlong),
        ("left", c_longlong),
        ("looks", c_longlong),
        ("is_hushed", c_longlong),
        ("remark", c_char * 500),
        ("wrong_at", c_double),
    ]

    def note(self, remark: str) -> None:
        """Take note of what is wrong, if it is the first."""
        if not self.wrong_at:
            self.remark = remark.encode()[:499]
            self.wrong_at = time.monotonic()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often what is done."""

    reads: int = 1  # in what is one request
    plain: float = 0.95  # the share of these that call a function of one row; others take longer
    pause: float = 0.008  # seconds between two writes of a process, on average


#: Nearly all that is read is near, and is read without much around it.
FAST: Final = Pace(reads=500, plain=0.995, pause=0.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course(World):
    """The rows of a soak; goes to each process when that is started."""

    until: c_double  # by the monotonic clock, in case that nobody is left to end it
    pace: Pace
    icaos: Sequence[str]
    # For each writer, and each row, the newest value with which it has got control back.
    returned: "Array[c_longlong]"
    tallies: "Array[Tally]"
    state: c_int
    rounds: c_int  # that are over

    def newest(self, row: int) -> int:
        """Return the newest value whose writer has control back."""
        return max(self.returned[row :: len(self.icaos)])

    def is_over(self) -> bool:
        return self.state.value == State.END or time.monotonic() > self.until.value
