"""What the reports of two runs say about each other."""

import json
from typing import Any

import pytest

from tests.compat.outcomes import Difference, Result, Run, compare, doubts, read


def line(test: str, outcome: str, text: str = "", **more: Any) -> str:
    return json.dumps({"test": test, "outcome": outcome, "text": text, "watched": True, **more})


def run(**outcomes: str) -> Run:
    return read([line(test, outcome) for test, outcome in outcomes.items()])


def differing(without: Run, with_app: Run) -> dict[str, str]:
    return {each.test: each.result.outcome for each in compare(without, with_app)}


@pytest.mark.parametrize("outcome", ["failed", "skipped", "logged"])
def test_what_passes_without_the_app_and_not_with_it_differs(outcome: str):
    assert differing(run(a="passed", b="passed"), run(a="passed", b=outcome)) == {"b": outcome}


def test_a_test_that_is_not_run_with_the_app_differs():
    assert differing(run(a="passed", b="passed"), run(a="passed")) == {"b": "missing"}


@pytest.mark.parametrize("outcome", ["failed", "skipped"])
def test_what_does_not_pass_without_the_app_is_not_counted(outcome: str):
    assert differing(run(a=outcome), run(a="failed")) == {}
    assert differing(run(a=outcome), run()) == {}


def test_what_passes_only_with_the_app_is_not_counted():
    assert differing(run(a="failed"), run(a="passed", b="failed")) == {}


@pytest.mark.parametrize("later", ["passed", "skipped"])
def test_one_failed_subtest_fails_the_test(later: str):
    lines = [line("a", "failed", "of a subtest"), line("a", later)]
    assert read(lines).results == {"a": Result("failed", "of a subtest")}
    assert read(lines[::-1]).results == {"a": Result("failed", "of a subtest")}


def test_an_error_that_the_app_logs_counts_though_the_test_passes():
    lines = [line("a", "logged", "A write could not be looked at"), line("a", "passed")]
    [difference] = compare(run(a="passed"), read(lines))
    assert difference == Difference("a", Result("logged", "A write could not be looked at"))


def test_two_complete_runs_leave_no_doubt():
    assert doubts(complete(delivered=None), complete(delivered=3)) == []


def complete(delivered: int | None, **watched: bool) -> Run:
    lines = [line(test, "passed", watched=seen) for test, seen in watched.items()]
    return read([line("first", "passed"), *lines, json.dumps({"delivered": delivered})])


def test_a_run_that_broke_off_shows_the_end_of_what_it_printed():
    broken = read([line("a", "passed")], output="Segmentation fault")
    [doubt] = doubts(broken, complete(delivered=3))
    assert doubt == "The run without the app broke off:\nSegmentation fault"
    assert len(doubts(complete(delivered=None), broken)) == 1


def test_a_run_in_which_nothing_passed_proves_nothing():
    nothing = read([line("a", "failed"), '{"delivered": null}'], output="No such module")
    [doubt] = doubts(nothing, complete(delivered=3))
    assert doubt == "No test passed in the run without the app:\nNo such module"


@pytest.mark.parametrize("delivered", [0, None])
def test_an_app_that_did_nothing_proves_nothing(delivered: int | None):
    [doubt] = doubts(complete(delivered=None), complete(delivered=delivered))
    assert doubt == "The app has invalidated nothing in the run with it."


def test_an_app_that_is_there_in_both_runs_proves_nothing():
    [doubt] = doubts(complete(delivered=3), complete(delivered=3))
    assert doubt == "The app was there in the run without it."


def test_tests_that_the_app_did_not_watch_are_told():
    blind = complete(delivered=3, a=False, b=False, c=True)
    [doubt] = doubts(complete(delivered=None), blind)
    assert doubt == "The app did not see the writes of 2 tests, such as a."


def test_nobody_expects_the_app_to_watch_without_being_there():
    assert doubts(complete(delivered=None, a=False), complete(delivered=3, a=True)) == []
