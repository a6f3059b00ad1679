"""What is told about all runs, and the exit code."""

import json
from pathlib import Path

import pytest

from tests.compat import __main__ as program
from tests.compat import documented
from tests.compat.documented import load
from tests.compat.outcomes import Run, read
from tests.compat.report import Report, find, hold, render
from tests.compat.running import Job
from tests.compat.suites import DATABASES, SUITES

GUARDIAN = SUITES["guardian"]
ENTRY = """
[[difference]]
suite = "guardian"
tests = ["t.known"]
reason = "It counts queries."
"""


def run(delivered: int | None, **outcomes: str) -> Run:
    lines = [
        {"test": f"t.{name}", "outcome": outcome, "text": "Traceback\nQueries: 2", "watched": True}
        for name, outcome in {"other": "passed", **outcomes}.items()
    ]
    return read(map(json.dumps, [*lines, {"delivered": delivered}]))


def report(text: str = ENTRY, **outcomes: str) -> Report:
    without = run(None, **dict.fromkeys(outcomes, "passed"))
    finding = find(Job(GUARDIAN, "all", "sqlite"), without, run(1, **outcomes))
    return hold([finding], load(text), "5.2.19")


def test_documented_differences_are_fine():
    found = report(known="failed", fine="passed")
    assert found.is_clean
    assert render(found).split("\n")[1].split() == ["guardian", "on", "sqlite", "3", "3", "1"]
    assert "1 documented difference" in render(found)


def test_a_difference_that_is_not_documented_is_told_with_its_traceback():
    found = report(known="failed", new="failed")
    assert not found.is_clean
    told = "NOT DOCUMENTED, guardian on sqlite, Django 5.2.19: t.new: failed\nTraceback\nQueries: 2"
    assert told in render(found)


def test_an_outdated_entry_is_told():
    found = report(known="passed")
    assert not found.is_clean
    assert "OUTDATED, guardian on sqlite, Django 5.2.19: t.known" in render(found)


def test_runs_that_prove_nothing_are_told():
    finding = find(Job(GUARDIAN, "all", "sqlite"), run(None), run(None))
    found = hold([finding], [], "5.2.19")
    assert not found.is_clean
    assert "guardian on sqlite: The app has invalidated nothing" in render(found)


@pytest.mark.parametrize(("outcome", "code"), [("passed", 0), ("failed", 1)])
def test_the_exit_code_says_whether_everything_is_as_documented(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    outcome: str,
    code: int,
):
    (tmp_path / "differences.toml").touch()
    monkeypatch.setattr(documented, "LIST", tmp_path / "differences.toml")
    runs = run(None, new="passed"), run(1, new=outcome)
    monkeypatch.setattr(program, "run_twice", lambda job: runs)
    monkeypatch.setattr(program, "source", lambda suite: None)
    assert program.main(["--only", "filter", "--database", "sqlite"]) == code
    assert ("t.new" in capsys.readouterr().out) is bool(code)


def test_a_name_that_there_is_not_lists_those_that_there_are(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(SystemExit, match="There are: django/writes, "):
        program.main(["--only", "djnago"])


def test_the_short_form_is_a_part_of_the_whole():
    everything = {str(job) for job in program.choose([], DATABASES, short=False)}
    short = {str(job) for job in program.choose([], DATABASES, short=True)}
    assert short < everything
    assert "django/inheritance on postgresql" in short


def test_one_part_on_one_database_can_be_chosen():
    [job] = program.choose(["django/writes"], ["sqlite"], short=False)
    assert str(job) == "django/writes on sqlite"


def test_each_label_is_in_one_part():
    labels = [label for part in SUITES["django"].parts.values() for label in part]
    assert len(labels) == len(set(labels))
