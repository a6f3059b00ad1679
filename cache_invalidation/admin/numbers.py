"""Numbers as an operator reads them: few digits, and a unit."""

from typing import Final

NOTHING: Final = "\N{EN DASH}"

# Up to how many seconds a unit is used, and how many seconds it is.
_UNITS: Final = ((1, 0.001, "ms"), (60, 1, "s"), (3600, 60, "min"), (float("inf"), 3600, "h"))


def duration(seconds: float | None) -> str:
    """Return `seconds` with the unit that fits; a dash for None."""
    if seconds is None:
        return NOTHING
    unit, name = next((unit, name) for limit, unit, name in _UNITS if seconds < limit)
    amount = seconds / unit
    digits = 0 if amount >= 10 or not amount else 1
    return f"{amount:,.{digits}f}".removesuffix(".0") + f" {name}"


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
