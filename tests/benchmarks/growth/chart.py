"""Draws what has grown: a picture of four charts, both axes of each by powers of ten.

    make bench ARGS="--only growth --json rows.json"
    python -m tests.benchmarks.growth.chart rows.json > growth.svg

Drawn are ratios, and medians of them if several runs are named. What a call takes by itself is
another matter on each machine, and at each moment of a busy one; what it is compared with was
measured by turns with it.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from math import ceil, floor, log10
from pathlib import Path
from statistics import median
from typing import Any, Final

WIDTH, HEIGHT = 440, 290
LEFT, RIGHT, TOP, BOTTOM = 62, 152, 46, 46  # what is around the lines of each chart
COLUMNS: Final = 2
APART: Final = 32  # between the names of two lines

# The same line has the same colour in each chart.
COLOURS: Final[Mapping[str, str]] = {"hit": "hit", "hit near": "near", "invalidate": "drop"}

STYLE: Final = """
    .card { fill: #fbfbfb; stroke: #c9ccd1 }
    text { font: 12px system-ui, sans-serif; fill: #24292f }
    .title { font-weight: 600 }
    .note { fill: #57606a }
    .end { text-anchor: end }
    .middle { text-anchor: middle }
    .grid { stroke: #d8dbdf; fill: none }
    .line { stroke-width: 2; fill: none }
    .hit { stroke: #3b78c4 }
    .near { stroke: #2f8a45 }
    .drop { stroke: #b9741a }
    .same { stroke: #8b929b; stroke-dasharray: 5 3; fill: none }
    @media (prefers-color-scheme: dark) {
      .card { fill: #1c1f24; stroke: #3d444d }
      text { fill: #e6e8eb }
      .note { fill: #a5adb8 }
      .grid { stroke: #363c44 }
      .hit { stroke: #6ca6ea }
      .near { stroke: #5cc277 }
      .drop { stroke: #e0a044 }
    }
"""


@dataclass(slots=True)
class Chart:
    """What is measured for several numbers: a ratio for each, by line and what it is to."""

    title: str
    unit: str
    lines: dict[tuple[str, str], dict[int, float]] = field(default_factory=dict)

    @property
    def heading(self) -> str:
        """Return what the height of a point says."""
        return "times as many reads" if self.unit.endswith("/s") else "times as long"


def drawn(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return an SVG of those of the rows, as they stand in the JSON, that have a point."""
    charts: dict[str, Chart] = {}
    figures: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        if point := row["point"]:
            figures.setdefault(tuple(point.values()), []).append(row["figure"])
            chart = charts.setdefault(point["chart"], Chart(point["chart"], row["unit"]))
            line = chart.lines.setdefault((point["line"], point["baseline"]), {})
            line[point["x"]] = median(figures[tuple(point.values())])
    return "\n".join(_picture(list(charts.values()))) + "\n"


def _picture(charts: Sequence[Chart]) -> Iterable[str]:
    width, height = COLUMNS * WIDTH, ceil(len(charts) / COLUMNS) * HEIGHT
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'aria-labelledby="title text">'
    )
    yield '  <title id="title">Costs, where there is more of everything</title>'
    yield f'  <desc id="text">{escape(" ".join(map(_told, charts)))}</desc>'
    yield f"  <style>{STYLE}  </style>"
    yield f'  <rect class="card" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8"/>'
    for place, chart in enumerate(charts):
        row, column = divmod(place, COLUMNS)
        yield f'  <g transform="translate({column * WIDTH} {row * HEIGHT})">'
        yield from (f"    {part}" for part in _chart(chart))
        yield "  </g>"
    yield "</svg>"


def _told(chart: Chart) -> str:
    """Return a chart in words: where each line begins and ends."""
    ends = []
    for (name, baseline), points in chart.lines.items():
        first, last = min(points), max(points)
        ends.append(
            f"{name} is {_short(points[first])} {chart.heading} as {baseline} at {_short(first)} "
            f"and {_short(points[last])} at {_short(last)}"
        )
    return f"By {chart.title}: {', '.join(ends)}."


@dataclass(frozen=True, slots=True)
class _Axis:
    """One from a power of ten to another one, on so many pixels."""

    first: int
    last: int
    begin: float
    end: float

    @classmethod
    def around(cls, values: Iterable[float], begin: float, end: float) -> "_Axis":
        powers = [log10(value) for value in values]
        first = floor(min(powers))
        return cls(first, max(first + 1, ceil(max(powers))), begin, end)

    def place(self, value: float) -> float:
        share = (log10(value) - self.first) / (self.last - self.first)
        return round(self.begin + share * (self.end - self.begin), 1)

    def ticks(self) -> Iterable[float]:
        return (10.0**power for power in range(self.first, self.last + 1))


def _chart(chart: Chart) -> Iterable[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    x = _Axis.around([x for points in chart.lines.values() for x in points], LEFT, right)
    heights = [y for points in chart.lines.values() for y in points.values()]
    y = _Axis.around([1, *heights], bottom, TOP)
    yield f'<text class="title" x="{LEFT}" y="24">{escape(chart.heading)}</text>'
    yield (
        f'<text class="note middle" x="{(LEFT + right) / 2}" y="{HEIGHT - 10}">'
        f"{escape(chart.title)}</text>"
    )
    for value in x.ticks():
        yield f'<path class="grid" d="M{x.place(value)} {TOP}V{bottom}"/>'
        yield (
            f'<text class="note middle" x="{x.place(value)}" y="{bottom + 17}">'
            f"{_short(value)}</text>"
        )
    for value in y.ticks():
        yield f'<path class="grid" d="M{LEFT} {y.place(value)}H{right}"/>'
        yield (
            f'<text class="note end" x="{LEFT - 7}" y="{y.place(value) + 4}">{_short(value)}</text>'
        )
    yield f'<path class="same" d="M{LEFT} {y.place(1)}H{right}"/>'
    for (name, _), points in chart.lines.items():
        steps = "L".join(f"{x.place(at)} {y.place(value)}" for at, value in sorted(points.items()))
        yield f'<path class="line {COLOURS[name]}" d="M{steps}"/>'
    ends = {names: y.place(points[max(points)]) for names, points in chart.lines.items()}
    for (name, baseline), height in _apart(ends).items():
        yield f'<text x="{right + 7}" y="{height + 2}">{escape(name)}</text>'
        yield f'<text class="note" x="{right + 7}" y="{height + 16}">to {escape(baseline)}</text>'


def _apart(heights: Mapping[tuple[str, str], float]) -> Mapping[tuple[str, str], float]:
    """Return the same heights, with those moved down that are too near to the one above."""
    placed: dict[tuple[str, str], float] = {}
    last = float("-inf")
    for name, height in sorted(heights.items(), key=lambda pair: pair[1]):
        last = placed[name] = max(height, last + APART)
    return placed


def _short(value: float) -> str:
    """Return a number as an axis has it."""
    for size, letter in ((1_000_000, " M"), (1_000, " k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


if __name__ == "__main__":
    runs = [json.loads(Path(name).read_text()) for name in sys.argv[1:]]
    print(drawn(row for run in runs for row in run["rows"]), end="")
