"""Numbers as an operator reads them: few digits, and a unit."""

from typing import Final

from cache_invalidation.metrics import durations

NOTHING: Final = "\N{EN DASH}"


def duration(seconds: float | None) -> str:
    """Return `seconds` with the unit that fits; a dash for None."""
    return durations.duration(seconds, NOTHING)


def percent(part: float, whole: float) -> str:
    """Return the share of `part` in `whole`; a dash if there is nothing to share."""
    if not whole:
        return NOTHING
    share = 100 * part / whole
    # Nearly all is not all, and nearly nothing is not nothing.
    digits = 0 if share in (0, 100) else 2 if share > 99.9 or share < 0.1 else 1
    return f"{share:.{digits}f}".removesuffix(".0") + " %"


def number(count: float) -> str:
    """Return `count` with all of its digits, and no ``.0`` behind it."""
    return f"{round(count, 1):,}".removesuffix(".0")
