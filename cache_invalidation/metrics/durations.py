"""Durations as an operator reads them: few digits, and a unit."""

from typing import Final

# Up to how many seconds a unit is used, and how many seconds it is.
_UNITS: Final = ((1, 0.001, "ms"), (60, 1, "s"), (3600, 60, "min"), (float("inf"), 3600, "h"))

# What would be no millisecond, rounded to a tenth, nor is nothing.
_SHORT: Final = 0.00005


def duration(seconds: float | None, nothing: str = "-") -> str:
    """Return `seconds` with the unit that fits, or `nothing` for None."""
    if seconds is None:
        return nothing
    if 0.5e-6 <= seconds < _SHORT:
        return f"{seconds * 1e6:.0f} µs"
    # What would be rounded up to the next unit is told in that.
    unit, name = next((unit, name) for limit, unit, name in _UNITS if seconds < limit - unit / 2)
    amount = seconds / unit
    digits = 0 if amount >= 9.95 or not amount else 1
    return f"{amount:,.{digits}f}".removesuffix(".0") + f" {name}"
