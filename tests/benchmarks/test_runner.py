"""The benchmarks run and report everything; how fast anything is, is not judged here."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.benchmarks.growth import chart
from tests.benchmarks.table import Row, render
from tests.stores.steps import PATIENCE

pytestmark = pytest.mark.slow

SECTIONS = {
    *("write", "watcher", "hit", "together", "queryset", "page", "block", "tracked"),
    *("invalidate a tag", "memory", "replay", "near", "growth"),
    *(f"ahead, {each}" for each in ("timeouts alone", "refresh", "refresh and warm")),
    "ahead, cold start with warm, to without",
}


def test_a_run_measures_every_section_and_keeps_the_budgets_of_what_can_be_counted(tmp_path: Path):
    file = tmp_path / "rows.json"
    command = [sys.executable, "-m", "tests.benchmarks", "--quick", "--json", str(file)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=8 * PATIENCE, check=False)
    assert run.returncode == 0, run.stderr
    document = json.loads(file.read_text())
    names = [row["name"] for row in document["rows"]]
    assert {name.partition(":")[0] for name in names} == SECTIONS
    assert len(set(names)) == len(names)
    lines = run.stdout.splitlines()
    assert lines[1].split()[:2] == ["baseline", "ours"]
    assert [line.split("  ")[0] for line in lines[2:]] == names
    assert {"Python", "Django", "PostgreSQL", "CPUs"} < set(document["machine"])
    counted = [row for row in document["rows"] if row["unit"] == ""]
    assert len(counted) == 14
    assert [row for row in counted if not row["within_budget"]] == []
    _check_chart(document["rows"])


def _check_chart(rows: list[dict[str, Any]]) -> None:
    drawn, points = chart.drawn(rows), [row["point"] for row in rows if row["point"]]
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    charts = {point["chart"] for point in points}
    assert charts == {"entries", "dependents of a tag", "processes", "bytes of a value"}
    assert all(f">{chart}</text>" in drawn for chart in charts)
    lines = {(point["chart"], point["line"]) for point in points}
    assert drawn.count('<path class="line ') == len(lines)


def test_a_line_is_drawn_by_powers_of_ten_and_named_apart_from_others():
    def row(line: str, x: int, figure: float) -> dict[str, Any]:
        point = {"chart": "entries", "x": x, "line": line, "baseline": "cache.get"}
        return {"point": point, "unit": "µs", "figure": figure}

    near = [row("hit near", 1, 0.01)]
    several = [row("hit", 10, figure) for figure in (0.1, 0.01, 5)]  # of which it is the median
    drawn = chart.drawn([row("hit", 1, 1), *several, row("hit", 100, 0.01), *near])
    hit = re.search('line hit" d="M(.*)"', drawn)
    assert hit
    (x, y), *others = (tuple(map(float, place.split())) for place in hit[1].split("L"))
    wide, high = chart.WIDTH - chart.LEFT - chart.RIGHT, chart.HEIGHT - chart.TOP - chart.BOTTOM
    assert [(at - x, below - y) for at, below in others] == [(wide / 2, high / 2), (wide, high)]
    heights = [float(height) for height in re.findall('y="([0-9.]+)">hit(?: near)?<', drawn)]
    assert abs(heights[0] - heights[1]) == chart.APART


def test_this_app_is_measured_beside_the_peers_that_are_here(tmp_path: Path):
    file = tmp_path / "rows.json"
    command = [sys.executable, "-m", "tests.benchmarks", "--peers", "--quick", "--json", str(file)]
    subprocess.run(command, capture_output=True, timeout=4 * PATIENCE, check=True)
    names = [row["name"] for row in json.loads(file.read_text())["rows"]]
    hits = {
        "hit, one row": "cache.get",
        "hit, list of 20 rows": "cache.get",
        "hit, page": "by hand",
    }
    expected = {
        f"peers: {what}, {name}, to {to}"
        for what, to in [*hits.items(), ("save", "by hand")]
        for name in ("this app", "no cache")
    }
    assert expected <= set(names)


def test_a_figure_is_judged_by_its_budget():
    fine = Row(name="fine", unit="ms", ours=0.9, baseline=0.5, kind="added", figure=0.4, budget=0.5)
    slow = Row(name="slow", unit="µs", ours=60, baseline=40, kind="ratio", figure=1.5, budget=1.3)
    told = Row(name="told", unit="bytes", ours=1234, figure=1234)
    assert [row.within_budget for row in (fine, slow, told)] == [True, False, None]
    assert [line.split() for line in render([fine, slow, told]).splitlines()[1:]] == [
        ["fine", "0.500", "ms", "0.900", "ms", "+0.400", "ms", "+0.500", "ms", "yes"],
        ["slow", "40", "µs", "60", "µs", "1.50", "x", "1.30", "x", "NO"],
        ["told", "1,234", "bytes"],
    ]
