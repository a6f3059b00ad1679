"""The counters of all processes, as operators see them."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.figures import Details, drops_of, figures_of, parsed
from cache_invalidation.metrics.latency import percentiles
from cache_invalidation.metrics.shapes import (
    Delivered,
    Metrics,
    Minute,
    Rates,
    Spared,
    StoreState,
    Waited,
    Waits,
)
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import MINUTES


class Counted(NamedTuple):
    """What is in the store, as it is kept there: counters, details, and what is no number."""

    counts: Mapping[str, int]
    details: Details
    since: str | None
    last: str | None


def read_metrics() -> Metrics:
    """Return the counters; those of this process are flushed first.

    Raises `StoreUnavailable` if the store does not answer.
    """
    return metrics_of(read_counted())


def read_counted() -> Counted:
    """Return what `metrics_of` makes metrics of, as `read_metrics` does."""
    counters.flush()
    found = get_store().counters()
    since, last = found.pop("since", None), found.pop("last", None)
    counts = {name: int(value) for name, value in found.items()}
    return Counted(counts, parsed(get_store().details()), since, last)


def metrics_of(counted: Counted) -> Metrics:
    """Return what was `counted`, with the length of the outbox and the state of the cache now."""
    # Imported late, because there are no models before there are settings.
    from cache_invalidation.models import backlog

    counts, details, since, last = counted
    functions = {name: _rates(counts, f":{name}") for name in sorted(_read(counts))}
    hits = {name: rates["hits"] for name, rates in functions.items()}
    return Metrics(
        **_rates(counts),
        functions=functions,
        figures=figures_of(hits, _detailed(counts, _MISSED), details),
        dropped=drops_of(details),
        details_left_out=details.get(("",), 0),
        not_stored=_detailed(counts, _NOT_STORED),
        stored=_detailed(counts, _STORED),
        refreshed=_detailed(counts, "refreshed:"),
        near_hits=_beginning_with("near:", counts),
        waits_by_entity_type=_waits(counts),
        waits_by_name=_waits_by_name(counts),
        fetched_together=counts.get("fetched_together", 0),
        fetched_in_vain=counts.get("fetched_in_vain", 0),
        could_be_together=_spared(counts),
        invalidations_by_entity_type=_by_entity_type(counts),
        tag_invalidations=counts.get("tags", 0),
        key_invalidations=counts.get("keys", 0),
        pattern_invalidations=counts.get("patterns", 0),
        failed_invalidations=counts.get("failed", 0),
        pending_invalidations=backlog(),
        store=store_state(),
        latency=percentiles(counts),
        checked_hits=counts.get("checked_hits", 0),
        stale_hits=counts.get("stale_hits", 0),
        stale_rate=_ratio(counts.get("stale_hits", 0), counts.get("checked_hits", 0)),
        stale_by_entity_type=_beginning_with("stale:", counts),
        last_invalidation=json.loads(last) if last else None,
        since=since,
    )


def names_counted() -> set[str]:
    """Return the names of all that any process has counted reads of, has stored or has not.

    Those of pages and blocks begin with ``page:`` and ``block:``. Raises `StoreUnavailable` if the
    store does not answer.
    """
    counters.flush()
    counts = dict.fromkeys(get_store().counters(), 0)
    return {*_read(counts), *_detailed(counts, _NOT_STORED), *_detailed(counts, _STORED)}


def read_learned() -> dict[str, frozenset[str]]:
    """Return on what functions, pages and blocks were found to depend, by any process.

    That is what they depend on besides their declared tags and their own: tags without a family,
    and family tags. Raises `StoreUnavailable` if the store does not answer.
    """
    counters.flush()
    return get_store().learned()


def store_state() -> StoreState:
    """Return how this process sees the cache; without asking it, so also during an outage.

    Raises `StoreUnavailable` if there is no such cache.
    """
    breaker = get_store().breaker
    return StoreState(
        alias=breaker.alias,
        state=str(breaker.state),
        since=breaker.since.isoformat() if breaker.since else None,
        reason=breaker.reason,
        outages=breaker.outages,
    )


def read_minutes(number: int = 60, *, step: int = 1, name: str | None = None) -> list[Minute]:
    """Return the counters of the last `number` minutes, the oldest first; at most 24 hours.

    With `step`, so many minutes are added up to one; the hour, or day, begins at one of them. The
    reads are those of the function, page or block `name`, if there is one.
    """
    now = int(time.time() // 60)
    first = (now // step + 1) * step - min(number, MINUTES)
    minutes = range(first, now + 1)
    found = get_store().counters_per_minute(minutes)
    return [
        _minute(minutes[place], found[place : place + step], name)
        for place in range(0, len(minutes), step)
    ]


def _minute(minute: int, added: Iterable[Mapping[str, int]], name: str | None) -> Minute:
    counts: Counter[str] = Counter()
    for some in added:
        counts.update(some)
    of_name = "" if name is None else f":{name}"
    missed: Counter[str] = Counter()
    for each, causes in _detailed(counts, _MISSED).items():
        if name in (None, each):
            missed.update(causes)
    near_hits = _beginning_with("near:", counts)
    waited = _waits(counts) if name is None else _waits_by_name(counts)
    return Minute(
        time=minute * 60,
        hits=counts[f"hits{of_name}"],
        near_hits=sum(n for each, n in near_hits.items() if name in (None, each)),
        waited=_in_all(found for each, found in waited.items() if name in (None, each)),
        misses=counts[f"misses{of_name}"],
        bypasses=counts[f"bypasses{of_name}"],
        missed=dict(missed),
        invalidations_by_entity_type=_by_entity_type(counts),
        failed_invalidations=counts["failed"],
        latency=percentiles(counts),
    )


def read_recent(number: int = 100) -> list[Delivered]:
    """Return the last invalidations that processes have told of, at most 1,000, newest first.

    A process tells of them every few seconds (``METRICS_FLUSH_INTERVAL``), this one now.
    """
    counters.flush()
    return [json.loads(entry) for entry in get_store().recent(number)]


def reset_metrics() -> None:
    """Set all counters to zero, those of this process included, and forget what was found out.

    What other processes counted and have not flushed yet arrives after the reset. What they have
    found out they tell again within an hour, once they compute it anew.
    """
    counters.discard()
    get_store().reset_counters()


_READS = ("hits:", "misses:", "bypasses:")
_NOT_STORED = "unstored:"
_STORED = "stored:"
_MISSED = "missed:"


def _read(counts: Mapping[str, int]) -> set[str]:
    return {name.partition(":")[2] for name in counts if name.startswith(_READS)}


def _detailed(counts: Mapping[str, int], prefix: str) -> dict[str, dict[str, int]]:
    """Return what is counted as `prefix`, a name, a colon and a detail: by both of these."""
    found: dict[str, dict[str, int]] = {}
    for counter in sorted(counts):
        if counter.startswith(prefix):
            name, _, detail = counter.removeprefix(prefix).rpartition(":")
            found.setdefault(name, {})[detail] = counts[counter]
    return found


def _rates(counts: Mapping[str, int], suffix: str = "") -> Rates:
    hits, misses, bypasses = (counts.get(kind[:-1] + suffix, 0) for kind in _READS)
    rate = _ratio(hits, hits + misses)
    return Rates(hits=hits, misses=misses, bypasses=bypasses, hit_rate=rate)


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _by_entity_type(counts: Mapping[str, int]) -> dict[str, int]:
    return _beginning_with("invalidations:", counts)


def _beginning_with(prefix: str, counts: Mapping[str, int]) -> dict[str, int]:
    return {
        name.removeprefix(prefix): amount
        for name, amount in sorted(counts.items())
        if name.startswith(prefix)
    }


def _waits(counts: Mapping[str, int]) -> dict[str, Waits]:
    return {
        entity_type: Waits(**waited, silent=counts.get(f"silent:{entity_type}", 0))
        for entity_type, waited in _waited("waits:", "waited_us:", counts).items()
    }


def _waits_by_name(counts: Mapping[str, int]) -> dict[str, Waited]:
    return _waited("waits_for:", "waited_for_us:", counts)


def _waited(times: str, microseconds: str, counts: Mapping[str, int]) -> dict[str, Waited]:
    return {
        which: Waited(waits=n, seconds=counts.get(f"{microseconds}{which}", 0) / 1_000_000)
        for which, n in _beginning_with(times, counts).items()
    }


def _spared(counts: Mapping[str, int]) -> dict[str, Spared]:
    return {
        route: Spared(requests=requests, lookups=counts.get(f"spared:{route}", 0))
        for route, requests in _beginning_with("watched:", counts).items()
    }


def _in_all(waited: Iterable[Waited]) -> Waited:
    found = list(waited)
    return Waited(
        waits=sum(each["waits"] for each in found),
        seconds=round(sum(each["seconds"] for each in found), 6),
    )
