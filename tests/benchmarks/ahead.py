"""A replay of reads, a few of which are asked for most, while the hottest rows are written.

Once with timeouts alone, once with `refresh`, once with that and a loop of `warm_cache`. And how
long it takes after everything was lost until most reads are hits again, with that loop and without.
"""

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import accumulate, count
from multiprocessing import get_context
from statistics import quantiles
from threading import Event, Thread, get_ident
from time import perf_counter
from typing import Any, Final
from unittest import mock

from django.core.cache import caches
from django.db import connections

from cache_invalidation import cached
from cache_invalidation.operations.warming import Budget, Warmer
from cache_invalidation.reads import hottest
from cache_invalidation.reads.background import background
from tests.benchmarks.server import CacheServer
from tests.benchmarks.table import Row
from tests.benchmarks.timing import Scale
from tests.testapp.models import Product

PRODUCTS: Final = 100
HOT: Final = 10  # of which one is written now and then
TIMEOUT: Final = 5.0  # seconds
COMPUTING: Final = 0.01  # seconds that a computation waits for something
EVERY: Final = 0.003  # seconds, after which the next read begins, unless the last one takes longer
WRITES: Final = 1.0  # seconds between two writes

LATE: Final = 1.0  # seconds at most that are made up for
COLD_WARMERS: Final = 4  # processes that warm after a loss; else it is one
ROUNDS: Final = 0.2  # seconds between two rounds

# How cold the cache is until so many of the last reads were hits.
WARM: Final = 0.95
LAST: Final = 200

_numbers = count()

# The function is known to them as it is here.
_processes = get_context("fork")


class Replay:
    """One cached function, and reads of it: the popularity of a product falls with its number."""

    def __init__(self, *, refresh: bool) -> None:
        self.computed = _processes.Value("i", 0)  # by all processes
        self._next = 0.0  # when the next read begins
        self._here: Counter[int] = Counter()  # by threads of this one
        name = f"ahead {next(_numbers)}"
        self._function = cached(timeout=TIMEOUT, refresh=refresh, name=name)(self.compute)
        self._keys = list(Product.objects.order_by("pk").values_list("pk", flat=True))
        self._weights = list(accumulate(1 / rank for rank in range(1, len(self._keys) + 1)))
        self._random = random.Random(42)

    def compute(self, pk: int) -> Any:
        with self.computed.get_lock():
            self.computed.value += 1
        self._here[get_ident()] += 1
        found = Product.objects.values("name", "stock").get(pk=pk)
        time.sleep(COMPUTING)
        return found

    def read(self) -> tuple[float, bool]:
        """Read one; return the seconds that it took, and whether it was a hit."""
        (pk,) = self._random.choices(self._keys, cum_weights=self._weights)
        self._next = max(self._next + EVERY, perf_counter() - LATE)
        time.sleep(max(0.0, self._next - perf_counter()))
        begun, before = perf_counter(), self._here[get_ident()]
        self._function(pk)
        return perf_counter() - begun, self._here[get_ident()] == before

    def fill(self) -> None:
        """Have every call hit twice and noted, as in the course of a day."""
        with mock.patch.object(hottest, "SAMPLED", 1):
            for pk in self._keys:
                self._function(pk), self._function(pk)
        hottest.hottest.send()

    def write(self) -> None:
        """Write one of the hottest rows."""
        pk = random.choice(self._keys[:HOT])
        Product.objects.filter(pk=pk).update(stock=random.randrange(1000))


@contextmanager
def warming(warmer: Warmer, processes: int) -> Iterator[None]:
    """Have processes do what ``warm_cache --loop`` does until the block ends."""
    stopped = _processes.Event()

    def run() -> None:
        while not stopped.wait(ROUNDS):
            *_, _ = warmer.round()

    connections.close_all()  # A child must not use those of its parent.
    children = [_processes.Process(target=run) for _ in range(processes)]
    for child in children:
        child.start()
    try:
        yield
    finally:
        stopped.set()
        for child in children:
            child.join()


@contextmanager
def again_and_again(act: Callable[[], Any], pause: float) -> Iterator[None]:
    """Have a thread call `act` with such pauses until the block ends."""
    stopped = Event()

    def run() -> None:
        while not stopped.wait(pause):
            act()
        connections.close_all()

    thread = Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def measure(scale: Scale) -> Iterator[Row]:
    """Measure the three ways of the replay, and both of a cold start."""
    Product.objects.bulk_create(Product(name=f"{n}", stock=n) for n in range(PRODUCTS))
    before = None
    for name, refresh, warms in (
        ("timeouts alone", False, False),
        ("refresh", True, False),
        ("refresh and warm", True, True),
    ):
        CacheServer().empty()
        replay = Replay(refresh=refresh)
        replay.fill()
        replay.computed.value = 0
        seconds, hits, bare = _reads(replay, scale.entries // 2, warms=warms)
        p50 = quantiles([s for s, hit in zip(seconds, hits, strict=True) if hit])[1]
        p99 = quantiles(seconds, n=100)[-1]
        misses = 100 * hits.count(False) / len(hits)
        yield Row(name=f"ahead, {name}: misses", unit="%", ours=misses, figure=misses)
        yield _ratio(f"ahead, {name}: p99 to p50 of hits", "µs", p99 * 1e6, p50 * 1e6)
        # What a machine that is busy with something else does to everybody.
        slow = quantiles(bare, n=100)[-1]
        yield _ratio(f"ahead, {name}: p99 to that of a bare get", "µs", p99 * 1e6, slow * 1e6)
        computed = replay.computed.value / len(seconds) * 1000
        before = before or computed
        yield _ratio(f"ahead, {name}: computed, of 1000 reads", "times", computed, before)
    cold = [_cold_start(warms=warms) for warms in (False, True)]
    yield _ratio("ahead, cold start with warm, to without", "s", cold[1], cold[0])


def _ratio(name: str, unit: str, ours: float, baseline: float) -> Row:
    figure = ours / (baseline or 1)  # In a quick run, nothing may have been computed before.
    return Row(name=name, unit=unit, ours=ours, baseline=baseline, kind="ratio", figure=figure)


def _reads(
    replay: Replay, number: int, *, warms: bool
) -> tuple[list[float], list[bool], list[float]]:
    """Return what each read took, whether it was a hit, and what a bare get took after it."""
    cache = caches["default"]
    with ExitStack() as stack:
        if warms:
            stack.enter_context(warming(Warmer(Budget()), 1))
        stack.enter_context(again_and_again(replay.write, WRITES))
        found, bare = [], []
        for _ in range(number):
            found.append(replay.read())
            begun = perf_counter()
            cache.get("nothing")
            bare.append(perf_counter() - begun)
    background.wait(TIMEOUT)
    return [seconds for seconds, _ in found], [hit for _, hit in found], bare


def _cold_start(*, warms: bool) -> float:
    """Return the seconds after everything was lost until most reads are hits again."""
    CacheServer().empty()
    replay, warmer = Replay(refresh=True), Warmer(Budget())
    replay.fill()
    *_, _ = warmer.round()  # It learns which calls there are.
    with ExitStack() as stack:
        if warms:
            stack.enter_context(warming(warmer, COLD_WARMERS))
        CacheServer().empty()
        begun, last = perf_counter(), deque([False] * LAST, LAST)
        while sum(last) < WARM * LAST:
            last.append(replay.read()[1])
        return perf_counter() - begun
