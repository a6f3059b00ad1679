"""Timing by turns, so that whatever else the machine does hits all alternatives alike."""

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from statistics import median
from time import perf_counter, process_time
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How long to measure; a quick run shows that everything works and no more."""

    rounds: int
    calls: int  # in one round
    long_rounds: int  # of what takes long by itself
    saves: int  # in a big transaction
    dependents: int  # of the most popular tag
    entries: int  # whose memory is measured
    reads: int  # of the traffic that is replayed
    # The most of what grows:
    stored: int  # entries
    readers: int  # processes
    payload: int  # bytes


FULL = Scale(
    rounds=41,
    calls=50,
    long_rounds=21,
    saves=1000,
    dependents=100_000,
    entries=10_000,
    reads=5_000,
    stored=1_000_000,
    readers=64,
    payload=1_000_000,
)
QUICK = Scale(
    rounds=3,
    calls=5,
    long_rounds=3,
    saves=100,
    dependents=2_000,
    entries=500,
    reads=300,
    stored=1_000,
    readers=2,
    payload=1_000,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """One of several ways that are compared.

    `run` is timed. `around` is entered before it, and then `warm_up` is called, both untimed.
    """

    run: Callable[[], Any]
    warm_up: Callable[[], Any]
    around: Callable[[], AbstractContextManager[Any]] = nullcontext


class Times:
    """The seconds that each alternative took, by rounds; `cpu` are those of this process alone."""

    def __init__(
        self, seconds: Mapping[str, list[float]], cpu: Mapping[str, list[float]], per: int
    ) -> None:
        self._seconds = seconds
        self._per = per
        self.cpu = self if cpu is seconds else Times(cpu, cpu, per)

    def of(self, name: str) -> float:
        """Return the median of one alternative, in seconds."""
        return median(self._seconds[name]) / self._per

    def added(self, name: str, baseline: str) -> float:
        """Return the median of the differences within each round, in seconds."""
        pairs = zip(self._seconds[name], self._seconds[baseline], strict=True)
        return median(ours - theirs for ours, theirs in pairs) / self._per

    def ratio(self, name: str, baseline: str) -> float:
        """Return the median of the quotients within each round."""
        pairs = zip(self._seconds[name], self._seconds[baseline], strict=True)
        return median(ours / theirs for ours, theirs in pairs)


def by_turns(alternatives: Mapping[str, Alternative], rounds: int, per: int = 1) -> Times:
    """Time each alternative once a round; one run counts as `per` of what is asked for."""
    seconds: dict[str, list[float]] = {name: [] for name in alternatives}
    cpu: dict[str, list[float]] = {name: [] for name in alternatives}
    order = list(alternatives)
    with garbage_kept():
        # The first round warms everything up.
        for number in range(rounds + 1):
            for name in order:
                took, worked = timed(alternatives[name])
                if number:
                    seconds[name].append(took)
                    cpu[name].append(worked)
            # Who comes after whom must not matter either.
            order.reverse()
    return Times(seconds, cpu, per)


def timed(alternative: Alternative) -> tuple[float, float]:
    """Return the seconds that it took, and those for which this process was computing."""
    with alternative.around():
        alternative.warm_up()
        gc.collect()
        worked, started = process_time(), perf_counter()
        alternative.run()
        return perf_counter() - started, process_time() - worked


@contextmanager
def garbage_kept() -> Iterator[None]:
    """Collect garbage only when told to, and not among what was there before."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def repeat(function: Callable[[], Any], times: int) -> Callable[[], None]:
    """Return a function that calls `function` so many times."""

    def run() -> None:
        for _ in range(times):
            function()

    return run
