"""The benchmarks run and report everything; how fast anything is, is not judged here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.table import Row, render
from tests.stores.steps import PATIENCE

pytestmark = pytest.mark.slow

SECTIONS = {
    *("write", "watcher", "hit", "together", "queryset", "page", "block", "tracked"),
    *("invalidate a tag", "memory", "replay", "near"),
    *(f"ahead, {each}" for each in ("timeouts alone", "refresh", "refresh and warm")),
    "ahead, cold start with warm, to without",
}


def test_a_run_measures_every_section_and_keeps_the_budgets_of_what_can_be_counted(tmp_path: Path):
    file = tmp_path / "rows.json"
    command = [sys.executable, "-m", "tests.benchmarks", "--quick", "--json", str(file)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=4 * PATIENCE, check=False)
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
        f"peers: {what}, this app, to {to}" for what, to in [*hits.items(), ("save", "by hand")]
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
