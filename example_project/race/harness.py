"""Starts the processes of a race, stops them in time and adds up what they counted."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from django.conf import settings
from django.db import connections

from cache_invalidation import unit_of_work
from example_project.airports.models import Airport
from example_project.race.course import Course, Tally
from example_project.race.strategies import Strategy, make_strategy
from example_project.race.worker import Role, work

# Seconds; only what hangs takes as long, however busy the machine is.
START_TIMEOUT = 300.0  # until every process has loaded Django
LONGEST = 1500.0  # until there is enough to judge
STOP_TIMEOUT = 120.0  # until every process has finished its last turn

#: Whether a race may end in which so much was counted.
Enough = Callable[[Tally], bool]

# A new interpreter for each process, as web workers have: nothing is shared by accident.
_spawn = get_context("spawn")


class RaceError(RuntimeError):
    """The race could not be run, so its numbers would mean nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a race.

    A read is stale if it returned a value older than one whose writer had got control back from
    its COMMIT before the read began. A row is left stale if the cache still has an old value after
    everybody has stopped.
    """

    reads: int
    misses: int
    stale: int
    writes: int
    left_stale: int
    seconds: float

    @property
    def hit_rate(self) -> float:
        """The share of the reads that did not have to run the query."""
        return 1 - self.misses / self.reads if self.reads else 0.0

    @property
    def is_consistent(self) -> bool:
        """Whether nobody was told an old value, or would be now."""
        return not self.stale and not self.left_stale


def run(
    strategy: str,
    *,
    seconds: float = 5,
    writers: int = 2,
    readers: int = 4,
    rows: int = 16,
    pause_ms: float = 0,
    write_interval_ms: float = 0,
    reads_per_write: float = 0,
    is_enough: Enough = lambda total: True,
) -> Result:
    """Have `writers` and `readers` race on the first `rows` airports, and return what came of it.

    `strategy` is the dotted path of a `Strategy`. Between a reader's query and its store there is
    a random pause of up to `pause_ms`; between two writes of one writer there is one that is
    `write_interval_ms` long on average, and as many reads as `reads_per_write`, however fast those
    are. The elevation of the airports is changed for good. The race lasts `seconds`, or longer,
    until what was counted `is_enough`: a busy machine takes its time.

    Needs a database with row locks and a cache that processes share. Raises `RaceError` if a
    process fails or is late. No process is left running, whatever happens.
    """
    start = dict(Airport.objects.order_by("icao").values_list("icao", "elevation_ft")[:rows])
    if len(start) < rows:
        raise RaceError(f"{rows} airports are needed, and there are {len(start)}.")
    course = Course(
        settings=_current_settings(),
        strategy=strategy,
        pause=pause_ms / 1000,
        write_interval=write_interval_ms / 1000,
        reads_per_write=reads_per_write,
        time_limit=START_TIMEOUT + seconds + LONGEST + STOP_TIMEOUT,
        icaos=list(start),
        committed=_spawn.RawArray("q", list(start.values())),
        locks=[_spawn.Lock() for _ in start],
        tallies=_spawn.RawArray(Tally, writers + readers),
        go=_spawn.Event(),
        stop=_spawn.Event(),
    )
    observer = make_strategy(strategy, pause=0)
    for icao in course.icaos:
        observer.forget(icao)
    seconds = _race(course, {"write": writers, "read": readers}, seconds, is_enough)
    total = course.total()
    end = Airport.objects.filter(icao__in=course.icaos).values_list("icao", "elevation_ft")
    return Result(
        reads=total.reads,
        misses=total.misses,
        stale=total.stale,
        writes=total.writes,
        left_stale=sum(_read(observer, icao) != elevation for icao, elevation in end),
        seconds=seconds,
    )


def _read(observer: Strategy, icao: str) -> int:
    with unit_of_work():
        return observer.read(icao)


def _race(
    course: Course,
    roles: Mapping[Role, int],
    seconds: float,
    is_enough: Enough,
) -> float:
    """Return how many seconds it took."""
    with _crew(course, roles) as crew:
        deadline = time.monotonic() + START_TIMEOUT
        for member in crew:
            member.receive(deadline)
        course.go.set()
        begun = time.monotonic()
        time.sleep(seconds)
        while not is_enough(course.total()) and all(member.is_racing() for member in crew):
            if time.monotonic() - begun > seconds + LONGEST:
                raise RaceError("There is not enough to judge.")
            time.sleep(0.02)
        course.stop.set()
        took = time.monotonic() - begun
        deadline = time.monotonic() + STOP_TIMEOUT
        for member in crew:
            member.receive(deadline)
        return took


class _Member:
    """A process and the pipe from it."""

    def __init__(self, role: Role, course: Course, number: int) -> None:
        self.role = role
        self._pipe, other_end = _spawn.Pipe(duplex=False)
        self._process = _spawn.Process(
            target=work, args=(role, course, number, other_end), daemon=True
        )
        self._process.start()
        # With its last copy gone, a process that dies is noticed at once.
        other_end.close()

    def is_racing(self) -> bool:
        return not self._pipe.poll()

    def receive(self, deadline: float) -> Any:
        if not self._pipe.poll(max(0, deadline - time.monotonic())):
            raise RaceError(f"A process that should {self.role} is late.")
        try:
            return self._pipe.recv()
        except EOFError:
            raise RaceError(f"A process that should {self.role} has died.") from None

    def end(self) -> None:
        self._process.join(1)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        self._process.close()
        self._pipe.close()


@contextmanager
def _crew(course: Course, roles: Mapping[Role, int]) -> Iterator[list[_Member]]:
    crew: list[_Member] = []
    try:
        for role, count in roles.items():
            for _ in range(count):
                crew.append(_Member(role, course, len(crew)))
        yield crew
    finally:
        course.stop.set()
        course.go.set()
        for member in crew:
            member.end()


def _current_settings() -> dict[str, Any]:
    """Return the settings that decide what the processes talk to.

    The connections know, unlike `settings.DATABASES`, if this is a test with its own database.
    """
    return {
        # With DEBUG every query is written down and kept.
        "DEBUG": False,
        "DATABASES": {alias: connections[alias].settings_dict for alias in connections},
        "CACHES": settings.CACHES,
        "CACHE_INVALIDATION": getattr(settings, "CACHE_INVALIDATION", {}),
    }
