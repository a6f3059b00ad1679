"""One row for each thing measured, as text and as JSON."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

HEADINGS = "", "baseline", "ours", "", "budget", "within budget"


class Point(NamedTuple):
    """Where a row stands in a chart: `ours` in a line of this name, the baseline in the other."""

    chart: str
    x: int
    line: str
    baseline: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was measured, next to its baseline in the same run.

    `figure` is what `budget` is about: how many times the baseline, what comes on top of it, or
    the value itself. There is none in a row that is for information only. A row with a `point`
    is one of several that belong together.
    """

    name: str
    unit: str
    ours: float
    baseline: float | None = None
    kind: Literal["ratio", "added", "value"] = "value"
    figure: float
    budget: float | None = None
    point: Point | None = None

    @property
    def within_budget(self) -> bool | None:
        """Whether the budget was kept; None without one."""
        return None if self.budget is None else self.figure <= self.budget

    def as_dict(self) -> dict[str, Any]:
        """Return the row as it stands in the JSON."""
        return {
            "name": self.name,
            "unit": self.unit,
            "baseline": self.baseline,
            "ours": self.ours,
            "kind": self.kind,
            "figure": self.figure,
            "budget": self.budget,
            "within_budget": self.within_budget,
            "point": self.point and self.point._asdict(),
        }


def render(rows: Iterable[Row]) -> str:
    """Return an aligned table."""
    lines = [HEADINGS, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_align(line, widths) for line in lines)


def _align(cells: Sequence[str], widths: Sequence[int]) -> str:
    name, *rest = zip(cells, widths, strict=True)
    aligned = [name[0].ljust(name[1]), *(text.rjust(width) for text, width in rest)]
    return "  ".join(aligned).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        "" if row.baseline is None else _number(row.baseline, row.unit),
        _number(row.ours, row.unit),
        "" if row.kind == "value" else _figure(row.figure, row),
        "" if row.budget is None else _figure(row.budget, row),
        {None: "", True: "yes", False: "NO"}[row.within_budget],
    )


def _figure(value: float, row: Row) -> str:
    if row.kind == "ratio":
        return f"{value:.2f} x"
    return ("+" if row.kind == "added" else "") + _number(value, row.unit)


def _number(value: float, unit: str) -> str:
    digits = 0 if value == round(value) or value >= 1000 else 1 if value >= 10 else 3
    return f"{value:,.{digits}f} {unit}".rstrip()
