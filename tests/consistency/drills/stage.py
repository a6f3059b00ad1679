"""Load on a site, and the moments of a drill: warm up, fault, back to normal, end."""

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ctypes import c_int
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from typing import Any, Final, Self

from django.db import connection

from cache_invalidation.models import PendingInvalidation
from example_project.airports.models import Airport
from tests.consistency.drills.course import Counts, Course, Phase
from tests.consistency.drills.pace import Pace
from tests.consistency.drills.processes import processes
from tests.consistency.drills.roles import loop, task
from tests.consistency.mixture import ROWS
from tests.stores.steps import PATIENCE

TIME_LIMIT: Final = 900.0  # seconds that a process lives, whatever happens
READERS: Final = 3
WRITERS: Final = 2
JOBS: Final = 1
READS: Final = 50  # of each reader, where everybody has to read something
WRITES: Final = 12  # at least, where somebody has to write something


class DrillError(RuntimeError):
    """The drill could not be run, so its numbers would mean nothing."""


class Stage:
    """A site under load, from beginning to end of a drill.

    The elevation of its airports is changed for good. Whoever runs the fault adds to `notes` and
    `broken`.
    """

    def __init__(
        self,
        pace: Pace,
        caches: Mapping[str, Any],
        cache_invalidation: Mapping[str, Any],
        sabotage: str | None = None,
    ) -> None:
        PendingInvalidation.objects.all().delete()
        rows = dict(Airport.objects.order_by("icao").values_list("icao", "elevation_ft")[:ROWS])
        if len(rows) < ROWS:
            raise DrillError(f"{ROWS} airports are needed, and there are {len(rows)}.")
        elevations = list(rows.values())
        self.pace = pace
        self.course = Course(
            database=connection.settings_dict["NAME"],
            caches=caches,
            cache_invalidation=cache_invalidation,
            time_out=pace.time_out,
            time_limit=TIME_LIMIT,
            sabotage=sabotage,
            icaos=list(rows),
            committed=processes.RawArray("q", elevations),
            superseded=processes.RawArray("q", [elevation - 1 for elevation in elevations]),
            locks=[processes.Lock() for _ in rows],
            counts=processes.RawArray(Counts, READERS + WRITERS + JOBS),
            readers=READERS,
            phase=processes.RawValue(c_int, Phase.BEFORE),
            quiet=processes.Event(),
            stop=processes.Event(),
        )
        self.notes: list[str] = []
        self.broken: list[str] = []
        self.kept = 0
        self.seconds: float | None = None
        self._load: list[BaseProcess] = []

    @property
    def readers(self) -> list[Counts]:
        return list(self.course.counts)[:READERS]

    @property
    def writers(self) -> list[Counts]:
        return list(self.course.counts)[READERS : READERS + WRITERS]

    def __enter__(self) -> Self:
        try:
            for role in ["read"] * READERS + ["write"] * WRITERS:
                self.join(role)
        except BaseException:
            self.end()
            raise
        return self

    def join(self, role: str) -> None:
        """Start a process that does what `role` names until the drill is over."""
        arguments = role, self.course, len(self._load)
        process = processes.Process(target=loop, args=arguments, daemon=True)
        process.start()
        self._load.append(process)

    def __exit__(self, *exc_info: object) -> None:
        self.end()

    def warm_up(self) -> None:
        """Wait until everybody is served from the cache, and the writers write."""
        self.wait_for(
            "served from the cache",
            lambda: (
                all(counts.normal_since and counts.requests > 50 for counts in self.readers)
                and all(counts.writes > 3 for counts in self.writers)
            ),
        )

    @contextmanager
    def fault(self) -> Iterator[None]:
        """Hold the phase in which something is broken, and then wait until all is normal."""
        self.course.phase.value = Phase.DURING
        yield
        self.kept = waiting()
        for counts in self.readers:
            counts.normal_since = 0.0
        self._wait_until_normal()
        self.course.phase.value = Phase.AFTER

    def _wait_until_normal(self) -> None:
        ended = time.monotonic()
        while time.monotonic() - ended < self.pace.patience:
            moments = [counts.normal_since for counts in self.readers]
            if all(moments) and not waiting():
                # What has been empty all the time was so at the end of the fault.
                self.seconds = max(0.0, (time.monotonic() if self.kept else max(moments)) - ended)
                return
            self.check_load()
            time.sleep(0.02)

    def go_on(self, seconds: float) -> None:
        """Let the load go on for so long, and until everybody has read and somebody has written.

        A write that was refused counts as well.
        """
        has_gone_on = self.going_on()
        time.sleep(seconds)
        self.wait_for("read and written", has_gone_on)

    def going_on(self) -> Callable[[], bool]:
        """Return what tells whether everybody has read, and somebody written, since now."""
        attempts, reads = self._attempts(), self.course.reads()
        return lambda: (
            self._attempts() >= attempts + WRITES and self.course.have_all_read(READS, reads)
        )

    def meanwhile(self, interval: float) -> Iterator[None]:
        """Yield once in each `interval`, for as long as a fault lasts and the load has to go on."""
        deadline, has_gone_on = time.monotonic() + self.pace.fault, self.going_on()
        last = time.monotonic() + PATIENCE
        while time.monotonic() < deadline or not has_gone_on():
            if time.monotonic() > last:
                raise DrillError(f"Not read and written in time: {self.last_error()}")
            self.check_load()
            yield
            time.sleep(interval)

    def _attempts(self) -> int:
        return sum(counts.writes + counts.refused for counts in self.writers)

    def hush(self) -> None:
        """Hold the writers back until `rest`: they would soon repair by chance what is stale.

        When this returns, none of them is in the middle of a write.
        """
        self.course.quiet.set()
        for lock in self.course.locks:
            if not lock.acquire(timeout=PATIENCE):
                raise DrillError(f"A write takes longer than {PATIENCE:g} s: {self.last_error()}")
            lock.release()

    @contextmanager
    def filled(self) -> Iterator[None]:
        """Have cached what is read, and nobody in the middle of a write, until the block ends.

        A fence on all rows would leave nothing of that.
        """
        self.hush()
        self.everybody_reads()
        yield
        self.course.quiet.clear()

    def everybody_reads(self) -> None:
        """Wait until every reader has read, and read again."""
        before = self.course.reads()
        self.wait_for("read", lambda: self.course.have_all_read(READS, before))

    def rest(self) -> None:
        """Let the load go on for a while in which nothing happens, at first without writers."""
        self.hush()
        time.sleep(self.pace.after / 2)
        self.everybody_reads()
        self.course.quiet.clear()
        self.go_on(self.pace.after / 2)
        self.check_load()

    def wait_for(self, what: str, is_true: Callable[[], bool]) -> None:
        """Wait until `is_true()`; raises `DrillError` if that takes too long."""
        deadline = time.monotonic() + PATIENCE
        while not is_true():
            if time.monotonic() > deadline:
                raise DrillError(f"Not {what} within {PATIENCE:g} s: {self.last_error()}")
            self.check_load()
            time.sleep(0.02)

    def check_load(self) -> None:
        """Raise `DrillError` if a process has died that nobody has killed."""
        for process in self._load:
            if process.exitcode not in (None, 0):
                raise DrillError(f"A process under load has died ({process.exitcode}).")

    def last_error(self) -> str:
        """Return the last error that a request has met."""
        return next((c.error.decode(errors="replace") for c in self.course.counts if c.error), "")

    def start(self, path: str, *arguments: Any) -> tuple[BaseProcess, Any]:
        """Start a process that calls the function at `path`; return it, and the pipe from it."""
        pipe, other_end = processes.Pipe(duplex=False)
        process = processes.Process(
            target=task, args=(path, self.course, other_end, arguments), daemon=True
        )
        process.start()
        # With its last copy gone, a process that dies is noticed at once.
        other_end.close()
        return process, pipe

    def barrier(self, parties: int) -> Barrier:
        """Return what processes that are started wait at for each other."""
        return processes.Barrier(parties)

    def call(self, path: str, *arguments: Any) -> Any:
        """Return what the function at `path` returns in a process of its own."""
        process, pipe = self.start(path, *arguments)
        return result_of(process, pipe)

    def kill(self, path: str, row: int, *arguments: Any) -> bool:
        """Let a process write `row` and be killed; return whether it was killed by itself.

        Everybody reads before anybody else writes.
        """
        self.hush()
        with self.writing_of(row):
            process, pipe = self.start(path, row, *arguments)
            process.join(PATIENCE)
            code = process.exitcode
            pipe.close()
            _end(process)
        self.everybody_reads()
        self.course.quiet.clear()
        return code == -signal.SIGKILL

    @contextmanager
    def writing_of(self, row: int) -> Iterator[None]:
        """Keep others from writing `row`, and take note of what it is in the end."""
        with self.course.locks[row]:
            yield
            icao = self.course.icaos[row]
            found = Airport.objects.values_list("elevation_ft", flat=True).get(icao=icao)
            self.course.committed[row] = max(self.course.committed[row], found)

    def end(self) -> None:
        """End the load; no process is left, whatever happens."""
        self.course.stop.set()
        for process in self._load:
            process.join(PATIENCE)
            if process.exitcode is None:
                self.broken.append("A process was stuck.")
            _end(process)
        self._load.clear()


def result_of(process: BaseProcess, pipe: Any) -> Any:
    """Return what a process that was started sends; raises `DrillError` if it does not."""
    try:
        if not pipe.poll(TIME_LIMIT):
            raise DrillError("A process of the drill is late.")
        return pipe.recv()
    except EOFError:
        raise DrillError("A process of the drill has died.") from None
    finally:
        pipe.close()
        process.join(PATIENCE)
        _end(process)


def _end(process: BaseProcess) -> None:
    if process.exitcode is None:
        process.kill()
        process.join()
    process.close()


def waiting() -> int:
    """Return how many rows wait in the outbox."""
    return PendingInvalidation.objects.count()
