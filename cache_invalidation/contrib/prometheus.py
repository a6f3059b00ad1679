"""For Prometheus; the extra ``prometheus``.

Register `CacheInvalidationCollector` in the registry that is scraped.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from django.db import connections
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from cache_invalidation.metrics.latency import BOUNDS, bucket
from cache_invalidation.metrics.latency import PREFIX as LATENCY
from cache_invalidation.metrics.report import Counted, metrics_of, read_counted, store_state
from cache_invalidation.metrics.shapes import Metrics, Waited
from cache_invalidation.models import backlog
from cache_invalidation.stores.breaker import State

logger = logging.getLogger("cache_invalidation")

Samples = Iterable[tuple[tuple[str, ...], float]]


class CacheInvalidationCollector(Collector):
    """Reads the counters that all processes share whenever it is asked, and keeps none itself.

    While the cache does not answer, ``cache_invalidation_up`` is 0, and there are only the state of
    the cache and the length of the outbox. Raises nothing.
    """

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that to register it asks neither the cache nor a database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics, as of now."""
        opened = {each.alias for each in connections.all(initialized_only=True) if each.connection}
        try:
            yield from _collected()
        finally:
            # A server for scrapes has a thread for each, which nobody closes anything after.
            for connection in connections.all(initialized_only=True):
                if connection.alias not in opened:
                    connection.close()


def _collected() -> Iterator[Metric]:
    try:
        counted = read_counted()
        metrics = metrics_of(counted)
    except Exception as error:  # noqa: BLE001 - who watches must be told that it cannot be read
        logger.debug("The metrics cannot be read (%r).", error)
        yield _gauge("up", "Whether the cache has answered this scrape.", 0)
        yield from _without_counters(backlog())
        return
    yield _gauge("up", "Whether the cache has answered this scrape.", 1)
    yield from _without_counters(metrics["pending_invalidations"])
    yield from _reads(metrics)
    yield from _writes(metrics, counted)
    yield from _figures(metrics["figures"])
    yield _counter(
        "details_left_out", "Additions for which there was no room.", metrics["details_left_out"]
    )


def _without_counters(pending: int) -> Iterator[Metric]:
    yield _gauge("pending_invalidations", "Invalidations that wait in the outbox.", pending)
    try:
        store = store_state()
    except Exception:  # noqa: BLE001 - there may be no such cache
        return
    states = GaugeMetricFamily(
        f"{_PREFIX}store_state", "The cache as this process sees it.", labels=["state"]
    )
    for state in State:
        states.add_metric([state], store["state"] == state)
    yield states
    yield _counter("outages", "Outages that this process has seen.", store["outages"])


def _reads(metrics: Metrics) -> Iterator[Metric]:
    functions: Mapping[str, Mapping[str, Any]] = metrics["functions"]
    reads = {
        (name, outcome): rates[kind]
        for name, rates in functions.items()
        for outcome, kind in _OUTCOMES.items()
    }
    yield _counters("reads", "Reads.", ("name", "outcome"), reads.items())
    missed = {name: figures["missed"] for name, figures in metrics["figures"].items()}
    yield _counters("misses", "Misses by cause.", ("name", "cause"), _flat(missed))
    reasons = _flat(metrics["not_stored"])
    yield _counters("not_stored", "Values that were not stored.", ("name", "reason"), reasons)
    stored = _flat(metrics["stored"])
    yield _counters("stored", "Values of tracked keys that were stored.", ("name", "how"), stored)
    refreshed = _flat(metrics["refreshed"])
    yield _counters("refreshes", "Refreshes ahead.", ("name", "result"), refreshed)
    near = _by_one(metrics["near_hits"])
    yield _counters("near_hits", "Hits from the memory of a process.", ("name",), near)
    together = metrics["fetched_together"]
    yield _counter("fetched_together", "Values fetched before they were asked for.", together)
    yield _counter("fetched_in_vain", "Those that nobody asked for.", metrics["fetched_in_vain"])
    yield _counter("checked_hits", "Hits that were compared.", metrics["checked_hits"])
    yield _counter("stale_hits", "Compared hits that were stale.", metrics["stale_hits"])


def _waits(
    suffix: str, about: str, label: tuple[str], waited: Mapping[str, Waited]
) -> Iterator[Metric]:
    times = [((which,), each["waits"]) for which, each in waited.items()]
    yield _counters(f"near_waits{suffix}", f"Writes that waited {about}", label, times)
    seconds = [((which,), each["seconds"]) for which, each in waited.items()]
    text = f"Seconds that writes waited {about}"
    yield _counters(f"near_wait_seconds{suffix}", text, label, seconds)


def _writes(metrics: Metrics, counted: Counted) -> Iterator[Metric]:
    writes = _by_one(metrics["invalidations_by_entity_type"])
    yield _counters("invalidations", "Writes that invalidated something.", ("entity_type",), writes)
    stale = _by_one(metrics["stale_by_entity_type"])
    yield _counters("stale", "Stale hits by entity type.", ("entity_type",), stale)
    waited = metrics["waits_by_entity_type"]
    about, label = "for processes that keep values near.", ("entity_type",)
    yield from _waits("", about, label, waited)
    silent = [((kind,), each["silent"]) for kind, each in waited.items()]
    yield _counters("near_silent", f"Writes that waited a whole lease {about}", label, silent)
    about = "for processes that keep this near."
    yield from _waits("_for", about, ("name",), metrics["waits_by_name"])
    found: Mapping[str, Any] = metrics
    targets = [((kind,), found[field]) for kind, field in _TARGETS.items()]
    yield _counters("targets", "What was dropped.", ("kind",), targets)
    failed = metrics["failed_invalidations"]
    yield _counter("failed_invalidations", "What was not, and will not be, delivered.", failed)
    yield _latency(counted.counts)


def _latency(counts: Mapping[str, int]) -> Metric:
    """Return the histogram of deliveries. Their sum is not kept, so it has none."""
    found, total = [], 0
    for bound in BOUNDS:
        total += counts.get(f"{LATENCY}{bucket(bound)}", 0)
        found.append((floatToGoString(bound), total))  # type: ignore[no-untyped-call]
    # What took longer than the last bound counts as if it had taken that long.
    return HistogramMetricFamily(
        f"{_PREFIX}delivery_seconds",
        "From COMMIT until the cache had been told.",
        buckets=[*found, ("+Inf", total)],
    )


def _figures(figures: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    took = SummaryMetricFamily(
        f"{_PREFIX}computing_seconds", "Computing values, stored or not.", labels=["name"]
    )
    saved = GaugeMetricFamily(
        f"{_PREFIX}saved_seconds", "What hits would have taken, by the mean.", labels=["name"]
    )
    for name, found in figures.items():
        took.add_metric([name], found["computed"], found["seconds"])
        if found["saved"] is not None:
            saved.add_metric([name], found["saved"])
    yield took
    yield saved
    for kind, field, about in _OF_NAMES:
        values = [((name,), found[field]) for name, found in figures.items()]
        yield _counters(kind, about, ("name",), values)


_PREFIX: Final = "cache_invalidation_"

# How the metrics of the package name what is a label here.
_OUTCOMES: Final = {"hit": "hits", "miss": "misses", "bypass": "bypasses"}
_TARGETS: Final = {
    "tag": "tag_invalidations",
    "key": "key_invalidations",
    "pattern": "pattern_invalidations",
}

# By what they count, the field of the figures that it is, and what to say of it.
_OF_NAMES: Final = (
    ("fills", "fills", "Values that were stored."),
    ("filled_bytes", "bytes", "Bytes of the values that were stored."),
    ("sampled_fills", "sampled_fills", "Fills of which it is counted whether they are hit."),
    ("hit_fills", "hit_fills", "Sampled fills that were hit."),
    ("compared_refills", "compared_refills", "Fills compared with what had been dropped."),
    ("equal_refills", "equal_refills", "Compared fills that were equal to what had been dropped."),
)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{_PREFIX}{name}", about, value)


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(f"{_PREFIX}{name}", about, value)


def _counters(name: str, about: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    family = CounterMetricFamily(f"{_PREFIX}{name}", about, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def _flat(counts: Mapping[str, Mapping[str, int]]) -> Samples:
    return [((one, two), n) for one, found in counts.items() for two, n in found.items()]


def _by_one(counts: Mapping[str, int]) -> Samples:
    return [((name,), number) for name, number in counts.items()]
