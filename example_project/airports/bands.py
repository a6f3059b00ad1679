"""Heights and latitudes in bands, so that a search for the highest looks at few airports.

It begins at the top, and depends on the bands that it gets to and not on those below: what becomes
of an airport somewhere in the middle leaves it alone.
"""

from bisect import bisect
from collections.abc import Sequence

# Where the next band begins.
_BEGINNINGS: dict[str, Sequence[int]] = {
    "elevation_ft": (0, 10, 30, 100, 300, 1000, 2000, 3000, 4000, 6000, 8000, 10_000),
    "latitude": range(-85, 90, 5),
}


def band(field: str, value: float) -> int:
    """Return the number of the band that a value of `field` is in."""
    return bisect(_BEGINNINGS[field], value)


def bounds(field: str, number: int) -> dict[str, int]:
    """Return what filters the rows whose `field` is in a band."""
    beginnings = _BEGINNINGS[field]
    found = {}
    if number > 0:
        found[f"{field}__gte"] = beginnings[number - 1]
    if number < len(beginnings):
        found[f"{field}__lt"] = beginnings[number]
    return found


def upwards(field: str) -> range:
    """Return the numbers of all bands of `field`, the lowest first."""
    return range(len(_BEGINNINGS[field]) + 1)
