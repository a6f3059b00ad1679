"""Workloads that are counted: computing takes as long as they say, and so does waiting."""

from collections.abc import Callable, Iterator
from time import time
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.cache import caches

from cache_invalidation.advice.advising import advice_on, situation
from cache_invalidation.advice.findings import Finding
from cache_invalidation.advice.situation import Situation
from cache_invalidation.metrics import notes
from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from cache_invalidation.operations.overview import overview
from cache_invalidation.reads import ahead, dependencies, kept_calls, measured
from cache_invalidation.stores import get_store

ROUND_TRIP = 0.0005  # seconds


class Site:
    """Runs workloads, and says what there is to be said about them."""

    def __init__(self) -> None:
        self.computing = 0.0
        self.passed = 0.0
        self.filled_at = 0.0

    def now(self) -> float:
        """Return the time of the workload."""
        return time() + self.passed

    def takes(self, seconds: float) -> None:
        """Have a function take so long."""
        self.computing += seconds

    def lose(self, function: Any, *args: Any) -> None:
        """Have the server lose an entry."""
        store = get_store()
        place = store.entry_place(function.key(*args))
        if (entry := store.lookup(place, ()).entry) is not None:
            store.discard(place, entry.seal)

    def wait(self, seconds: float, function: Any, *args: Any) -> None:
        """Have so long gone by; what `function` has stored expires if it does not live longer."""
        self.passed += seconds
        if function.timeout < seconds:
            self.lose(function, *args)

    def run(self, work: Callable[[], Any]) -> Situation:
        """Return the situation after `work`, with nothing in the cache before."""
        caches["default"].clear()
        reset_metrics()
        counters.flush()
        work()
        return situation(read_metrics(), overview(), 86_400, ROUND_TRIP)

    def findings(self, work: Callable[[], Any]) -> list[Finding]:
        return advice_on(self.run(work))["findings"]


@pytest.fixture(autouse=True)
def nothing_counted(settings: Any) -> Iterator[None]:
    settings.CACHE_INVALIDATION = {"METRICS_FLUSH_INTERVAL": 3600, "RETRY_INTERVAL": 0.001}
    counters.discard()
    yield
    counters.discard()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    found = Site()
    monkeypatch.setattr(measured, "SAMPLED", 1)
    monkeypatch.setattr(dependencies, "perf_counter", lambda: found.computing)
    monkeypatch.setattr(notes, "time", found.now)
    monkeypatch.setattr(ahead, "time", found.now)
    monkeypatch.setattr(ahead, "monotonic", found.now)
    monkeypatch.setattr(kept_calls, "time", SimpleNamespace(time=found.now))
    return found
