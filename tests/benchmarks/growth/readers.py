"""How many reads so many processes get together, and what a write waits for those that keep it."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ctypes import Array, c_int, c_longlong
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from statistics import median
from typing import Any, Final

from django.conf import settings
from django.core.cache import cache
from django.db import connection

from cache_invalidation import cached
from tests.benchmarks.comparing import added
from tests.benchmarks.lease import await_lease
from tests.benchmarks.near import look_up_stock, save, stock
from tests.benchmarks.server import CacheServer
from tests.benchmarks.table import Point, Row
from tests.benchmarks.timing import Alternative, Scale, by_turns
from tests.consistency.drills.course import World
from tests.consistency.drills.processes import processes
from tests.consistency.drills.roles import begin
from tests.stores.steps import PATIENCE
from tests.testapp.models import Product

GET, HIT, NEAR = "cache.get", "hit", "hit near"
CHART: Final = "processes"
WINDOW: Final = 0.01  # seconds in which reads are counted, for each call of other measurements
AT_ONCE: Final = 20  # reads between two looks at what is to be done
LONGEST: Final = 3600.0  # seconds that a process lives, whatever happens
NOTHING: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Course(World):
    """What the readers share; each has a place in `counts`, and is ready when that is not 0."""

    pk: int
    ways: Sequence[str]
    way: c_int  # which of them they read, or `NOTHING`
    counts: "Array[c_longlong]"
    until: float  # by the monotonic clock


def measure(scale: Scale) -> Iterator[Row]:
    """Measure 1, 2, 4 … processes that do nothing but read, and writes beside them."""
    CacheServer().empty()
    product = Product.objects.create(name="product", stock=7)
    other = Product.objects.create(name="other")
    cache.set("benchmark", product.stock, None)
    stock()  # Whoever writes has to know that this may be near.
    numbers = [2**power for power in range(scale.readers.bit_length())]
    # In crews of their own: a process that keeps values near has a thread that renews its lease.
    with _crew(product, [GET, HIT], scale) as crew:
        rates = {number: crew.rates(number) for number in numbers}
    with _crew(product, [NEAR], scale) as crew:
        for number in numbers:
            rates[number] |= crew.rates(number)
            yield _write(product, other, number, crew, scale)
    for number in numbers:
        yield from (_row(number, line, rates[number]) for line in (HIT, NEAR))


def _row(number: int, line: str, rates: dict[str, float]) -> Row:
    return Row(
        name=f"growth: {line}, {CHART}: {number}, to {GET}",
        unit="reads/s",
        baseline=rates[GET],
        ours=rates[line],
        kind="ratio",
        figure=rates[line] / rates[GET],
        point=Point(CHART, number, line, GET),
    )


def _write(product: Product, other: Product, number: int, crew: "_Crew", scale: Scale) -> Row:
    """Measure a write to what so many busy processes keep, and one to what nobody does."""
    held, unheld = "held", "not held"
    with crew.reading(NEAR):
        pause = partial(time.sleep, 0.05)  # in which they look it up again
        times = by_turns(
            {
                unheld: Alternative(run=partial(save, other), warm_up=pause),
                held: Alternative(run=partial(save, product), warm_up=pause),
            },
            scale.long_rounds,
        )
    return added(f"growth: write that busy {CHART} keep: {number}", times, held, unheld)


class _Crew:
    def __init__(self, course: Course, scale: Scale) -> None:
        self.course = course
        self.processes: list[BaseProcess] = []
        self._scale = scale

    def rates(self, number: int) -> dict[str, float]:
        """Return how many reads so many processes get in a second, in each of the ways."""
        self._grow_to(number)
        found: dict[str, list[float]] = {way: [] for way in self.course.ways}
        for _ in range(self._scale.rounds // 4 + 1):
            for way in found:
                with self.reading(way):
                    time.sleep(0.05)  # Until everybody has taken notice.
                    before, began = sum(self.course.counts), time.perf_counter()
                    time.sleep(WINDOW * self._scale.calls)
                    after, ended = sum(self.course.counts), time.perf_counter()
                found[way].append((after - before) / (ended - began))
        return {way: median(rates) for way, rates in found.items()}

    @contextmanager
    def reading(self, way: str) -> Iterator[None]:
        """Have everybody read."""
        self.course.way.value = self.course.ways.index(way)
        try:
            yield
        finally:
            self.course.way.value = NOTHING

    def _grow_to(self, number: int) -> None:
        while len(self.processes) < number:
            arguments = self.course, len(self.processes)
            process = processes.Process(target=read, args=arguments, daemon=True)
            process.start()
            self.processes.append(process)
        deadline = time.monotonic() + PATIENCE
        while not all(self.course.counts[:number]):
            if time.monotonic() > deadline or any(each.exitcode for each in self.processes):
                raise RuntimeError("A process that should read is not there.")
            time.sleep(0.01)


@contextmanager
def _crew(product: Product, ways: Sequence[str], scale: Scale) -> Iterator[_Crew]:
    course = Course(
        database=connection.settings_dict["NAME"],
        caches={"default": settings.CACHES["default"]},
        cache_invalidation={},
        sabotage=None,
        pk=product.pk,
        ways=ways,
        way=processes.RawValue(c_int, NOTHING),
        counts=processes.RawArray(c_longlong, scale.readers),
        until=time.monotonic() + LONGEST,
    )
    crew = _Crew(course, scale)
    try:
        yield crew
    finally:
        for process in crew.processes:
            process.kill()
            process.join()


def read(course: Course, place: int) -> None:
    """Read whenever and however it is told to."""
    begin(course)
    known: dict[str, Callable[[], Any]] = {
        GET: partial(cache.get, "benchmark"),
        HIT: partial(cached(timeout=None, name="benchmark.shared")(look_up_stock), course.pk),
        NEAR: partial(stock(), course.pk),
    }
    calls = [known[way] for way in course.ways]
    if NEAR in course.ways:
        await_lease()
    for call in calls:
        call()
    while time.monotonic() < course.until:
        course.counts[place] += 1
        if course.way.value == NOTHING:
            time.sleep(0.005)
            continue
        call = calls[course.way.value]
        for _ in range(AT_ONCE):
            call()
        course.counts[place] += AT_ONCE - 1
