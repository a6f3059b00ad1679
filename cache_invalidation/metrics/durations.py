"""Durations as an operator reads them: few digits, and a unit."""

from typing import Final

# Up to how many seconds a unit is used, and how many seconds it is.
_UNITS: Final = ((1, 0.001, "ms"), (60, 1, "s"), (3600, 60, "min"), (float("inf"), 3600, "h"))


def duration(seconds: float | None, nothing: str = "-") -> str:
    """Return `seconds` with the unit that fits, or `nothing` for None."""
    if seconds is None:
        return nothing
    # What would be rounded up to the next unit is told in that.
    unit, name = next((unit, name) for limit, unit, name in _UNITS if seconds < limit - unit / 2)
    amount = seconds / unit
    digits = 0 if amount >= 9.95 or not amount else 1
    return f"{amount:,.{digits}f}".removesuffix(".0") + f" {name}"
