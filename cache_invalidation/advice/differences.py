"""What was counted between two readings of the metrics."""

from collections.abc import Mapping
from typing import Any, Final, cast

from cache_invalidation.advice.findings import rate
from cache_invalidation.metrics.shapes import Metrics

# What cannot be taken away from each other: it is as it is now.
_AS_IT_IS: Final = frozenset({"p50", "p95", "p99", "pending_invalidations", "outages"})


def counted_since(before: Mapping[str, Any], now: Metrics) -> Metrics:
    """Return what was counted after `before`, which is what ``cache_metrics`` prints as JSON.

    Percentiles are those of `now`. Raises `ValueError`, saying what to do, if the counters were
    reset in between, or if `before` is something else.
    """
    try:
        begun = before["since"]
        earlier = {**before, "dropped": _by_write(before["dropped"])}
        found = _less({**now, "dropped": _by_write(now["dropped"])}, earlier)
    except (AttributeError, KeyError, TypeError):
        raise ValueError("that is not what cache_metrics prints with --format json") from None
    if begun not in (None, now["since"]):
        raise ValueError(
            "the counters were reset since it was written; write it anew with cache_metrics "
            "--format json"
        )
    writes = zip(now["dropped"], found["dropped"].values(), strict=True)
    left = [{**drop, "deliveries": number} for drop, number in writes if number]
    found["dropped"] = sorted(left, key=lambda drop: -drop["deliveries"])
    for rates in (found, *found["functions"].values()):
        rates["hit_rate"] = rate(rates["hits"], rates["hits"] + rates["misses"])
    return cast("Metrics", found)


def _by_write(dropped: Any) -> dict[str, int]:
    return {
        "\t".join((drop["tag"], drop["entity_type"], drop["cause"], drop["route"])): drop[
            "deliveries"
        ]
        for drop in dropped
    }


def _less(now: Any, before: Any) -> Any:
    """Return `now` with all numbers in it less those of `before`, none of them below zero."""
    if isinstance(now, dict):
        return {
            name: value if name in _AS_IT_IS else _less(value, before.get(name) or _none(value))
            for name, value in now.items()
        }
    if isinstance(now, int | float) and not isinstance(now, bool):
        return max(0, now - before)
    return now


def _none(value: Any) -> Any:
    return {} if isinstance(value, dict) else 0
