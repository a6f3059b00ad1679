"""How long it took from a COMMIT until everybody could see it: a histogram of counters.

Counters can be added up over processes and minutes; percentiles cannot, and are read off them.
"""

from bisect import bisect_left
from collections.abc import Mapping
from typing import Final, TypedDict

PREFIX: Final = "latency:"

# Upper bounds of the buckets, in seconds. What waited in the outbox can be late by hours.
BOUNDS: Final = (
    *(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    *(1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 86400.0),
)


class Percentiles(TypedDict):
    """Seconds within which so many of a hundred invalidations were delivered; None for none.

    They are upper bounds of buckets: 0.002 says that it took 1 to 2 ms.
    """

    p50: float | None
    p95: float | None
    p99: float | None


def bucket(seconds: float) -> str:
    """Return the name of the bucket of what took so long."""
    place = min(bisect_left(BOUNDS, seconds), len(BOUNDS) - 1)
    return f"{BOUNDS[place]:g}"


def percentiles(counts: Mapping[str, int]) -> Percentiles:
    """Return the percentiles of what is counted in `counts`, among other things."""
    found = buckets(
        {
            name.removeprefix(PREFIX): amount
            for name, amount in counts.items()
            if name.startswith(PREFIX)
        }
    )
    return Percentiles(p50=at(0.5, found), p95=at(0.95, found), p99=at(0.99, found))


def buckets(counts: Mapping[str, int]) -> list[tuple[float, int]]:
    """Return what was counted by `bucket`, by upper bounds, for `at`."""
    return sorted((float(name), amount) for name, amount in counts.items())


def at(share: float, buckets: list[tuple[float, int]]) -> float | None:
    total, seen = sum(amount for _, amount in buckets), 0
    for bound, amount in buckets:
        seen += amount
        if seen >= share * total:
            return bound
    return None
