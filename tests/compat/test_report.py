"""What is told about all runs, and the exit code."""

import json
from collections.abc import Iterator
from pathlib import Path

import django
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
    return hold([finding], load(text))


def test_documented_differences_are_fine():
    found = report(known="failed", fine="passed")
    assert found.is_clean
    assert render(found).split("\n")[1].split() == ["guardian", "on", "sqlite", "3", "3", "1"]
    assert "1 documented difference" in render(found)


def test_a_difference_that_is_not_documented_is_told_with_its_traceback():
    found = report(known="failed", new="failed")
    assert not found.is_clean
    place = f"guardian on sqlite, Django {django.get_version()}"
    assert f"NOT DOCUMENTED, {place}: t.new: failed\nTraceback\nQueries: 2" in render(found)


def test_an_outdated_entry_is_told():
    found = report(known="passed")
    assert not found.is_clean
    place = f"guardian on sqlite, Django {django.get_version()}"
    assert f"OUTDATED, {place}: t.known" in render(found)


def test_runs_that_prove_nothing_are_told():
    finding = find(Job(GUARDIAN, "all", "sqlite"), run(None), run(None))
    found = hold([finding], [])
    assert not found.is_clean
    assert "guardian on sqlite: The app has invalidated nothing" in render(found)


def test_where_there_is_nothing_to_deliver_the_app_only_has_to_be_there():
    django_own, nothing = SUITES["django"], run(None)
    for part, delivered, is_clean in [
        ("migrations", 0, True),
        ("migrations", None, False),
        ("writes", 0, False),
    ]:
        finding = find(Job(django_own, part, "sqlite"), nothing, run(delivered))
        assert hold([finding], []).is_clean is is_clean, (part, delivered)


def test_what_judges_by_the_clock_is_left_out():
    slow = "guardian.IndexVsNoIndexPerformanceTestCase.test_lookup_timing"
    lines = {
        outcome: {"test": slow, "outcome": outcome, "text": "", "watched": True}
        for outcome in ("passed", "failed")
    }
    fine = {"test": "t.other", "outcome": "passed", "text": "", "watched": True}
    without = read(map(json.dumps, [fine, lines["passed"], {"delivered": None}]))
    with_app = read(map(json.dumps, [fine, lines["failed"], {"delivered": 1}]))
    assert hold([find(Job(GUARDIAN, "all", "sqlite"), without, with_app)], []).is_clean
    other = find(Job(SUITES["filter"], "all", "sqlite"), without, with_app)
    assert not hold([other], []).is_clean


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[Run]]:
    """The runs with the app that are still to come, with an empty list of differences."""
    (tmp_path / "differences.toml").touch()
    monkeypatch.setattr(documented, "LIST", tmp_path / "differences.toml")
    monkeypatch.setattr(program, "source", lambda suite: None)
    runs: list[Run] = []
    monkeypatch.setattr(program, "run_twice", lambda job: (run(None, new="passed"), runs.pop(0)))
    yield runs
    assert not runs


def outcome_of_program() -> int:
    return program.main(["--only", "guardian", "--database", "sqlite"])


def test_the_exit_code_is_0_if_nothing_differs(done: list[Run]):
    done[:] = [run(1, new="passed")]
    assert outcome_of_program() == 0


def test_what_differs_twice_is_told_and_makes_the_exit_code_1(
    done: list[Run], capsys: pytest.CaptureFixture[str]
):
    done[:] = [run(1, new="failed")] * 2
    assert outcome_of_program() == 1
    assert ": t.new: failed" in capsys.readouterr().out


def test_what_differs_once_is_told_and_is_no_difference(
    done: list[Run], capsys: pytest.CaptureFixture[str]
):
    done[:] = [run(1, new="failed"), run(1, new="passed", other="failed")]
    assert outcome_of_program() == 0
    assert "t.new has differed, but not when it was run again" in capsys.readouterr().out


def test_what_is_documented_is_not_run_again(done: list[Run]):
    documented.LIST.write_text(ENTRY.replace("known", "new"))
    done[:] = [run(1, new="failed")]
    assert outcome_of_program() == 0


def test_doubts_stay_though_the_second_time_is_fine(done: list[Run]):
    done[:] = [run(0, new="failed"), run(1)]
    assert outcome_of_program() == 1


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
