"""The counters of all processes, as operators see them."""

import json
import time
from collections.abc import Mapping
from typing import Any, TypedDict

from cache_invalidation.metrics.counters import counters
from cache_invalidation.stores import get_store


class Rates(TypedDict):
    """Reads of one cached function, or of all; `hit_rate` is None before the first read."""

    hits: int
    misses: int
    bypasses: int
    hit_rate: float | None


class Metrics(Rates):
    """Everything counted since `since` (ISO 8601), by all processes that flushed."""

    functions: dict[str, Rates]
    invalidations_by_entity_type: dict[str, int]
    tag_invalidations: int
    key_invalidations: int
    pattern_invalidations: int
    failed_invalidations: int
    pending_invalidations: int
    last_invalidation: dict[str, Any] | None
    since: str | None


class Minute(TypedDict):
    """The counters of the minute that begins at `time` (seconds since the epoch)."""

    time: int
    hits: int
    misses: int
    bypasses: int
    invalidations_by_entity_type: dict[str, int]
    failed_invalidations: int


def read_metrics() -> Metrics:
    """Return the counters; those of this process are flushed first.

    Raises `StoreUnavailable` if the store does not answer.
    """
    counters.flush()
    found = get_store().counters()
    since, last = found.pop("since", None), found.pop("last", None)
    counts = {name: int(value) for name, value in found.items()}
    named = {name.partition(":")[2] for name in counts if name.startswith(_READS)}
    return Metrics(
        **_rates(counts),
        functions={name: _rates(counts, f":{name}") for name in sorted(named)},
        invalidations_by_entity_type=_by_entity_type(counts),
        tag_invalidations=counts.get("tags", 0),
        key_invalidations=counts.get("keys", 0),
        pattern_invalidations=counts.get("patterns", 0),
        failed_invalidations=counts.get("failed", 0),
        # Nothing waits: what cannot be delivered is counted as failed at once.
        pending_invalidations=0,
        last_invalidation=json.loads(last) if last else None,
        since=since,
    )


def read_minutes(number: int = 60) -> list[Minute]:
    """Return the counters of the last `number` minutes, the oldest first; at most 24 hours."""
    now = int(time.time() // 60)
    minutes = range(now - min(number, 24 * 60) + 1, now + 1)
    return [
        Minute(
            time=minute * 60,
            hits=counts.get("hits", 0),
            misses=counts.get("misses", 0),
            bypasses=counts.get("bypasses", 0),
            invalidations_by_entity_type=_by_entity_type(counts),
            failed_invalidations=counts.get("failed", 0),
        )
        for minute, counts in zip(minutes, get_store().counters_per_minute(minutes), strict=True)
    ]


def reset_metrics() -> None:
    """Set all counters to zero, those of this process included.

    What other processes counted and have not flushed yet arrives after the reset.
    """
    counters.discard()
    get_store().reset_counters()


_READS = ("hits:", "misses:", "bypasses:")


def _rates(counts: Mapping[str, int], suffix: str = "") -> Rates:
    hits, misses, bypasses = (counts.get(kind[:-1] + suffix, 0) for kind in _READS)
    reads = hits + misses
    rate = round(hits / reads, 4) if reads else None
    return Rates(hits=hits, misses=misses, bypasses=bypasses, hit_rate=rate)


def _by_entity_type(counts: Mapping[str, int]) -> dict[str, int]:
    prefix = "invalidations:"
    return {
        name.removeprefix(prefix): amount
        for name, amount in sorted(counts.items())
        if name.startswith(prefix)
    }
