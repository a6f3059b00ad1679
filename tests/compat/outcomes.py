"""What became of the tests of a run, as `inside.py` has written it down."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

# "logged": it passed, but the app has logged an error meanwhile. "missing": it was not run.
Outcome = Literal["passed", "skipped", "failed", "logged", "missing"]

# Several lines may be about one test: its subtests, and what tears it down. The worst one counts.
_WORST: Final[tuple[Outcome, ...]] = ("passed", "logged", "skipped", "failed")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one test, and the traceback or the reason."""

    outcome: Outcome
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What became of all tests of a run."""

    results: Mapping[str, Result] = field(default_factory=dict)
    #: Tests that the app did not watch; if it is not there, it watches none.
    unwatched: frozenset[str] = frozenset()
    #: How often the app has delivered what writes made stale; None if it was not there.
    delivered: int | None = None
    #: Whether it came to its end.
    complete: bool = False
    #: The end of what it printed.
    output: str = ""

    def number_of(self, outcome: Outcome) -> int:
        return sum(result.outcome == outcome for result in self.results.values())


@dataclass(frozen=True, slots=True)
class Difference:
    """A test that passes without the app, and what became of it with it."""

    test: str
    result: Result


def read(lines: Iterable[str], output: str = "") -> Run:
    """Return the run whose report `lines` are, and which has printed `output`."""
    results: dict[str, Result] = {}
    unwatched, delivered, complete = set(), None, False
    for line in map(json.loads, lines):
        if "delivered" in line:
            complete, delivered = True, line["delivered"]
            continue
        test, result = line["test"], Result(line["outcome"], line["text"])
        if test not in results or _is_worse(result, results[test]):
            results[test] = result
        if line.get("watched") is False and result.outcome == "passed":
            unwatched.add(test)
    return Run(
        results=results,
        unwatched=frozenset(unwatched),
        delivered=delivered,
        complete=complete,
        output=output,
    )


def _is_worse(one: Result, other: Result) -> bool:
    return _WORST.index(one.outcome) > _WORST.index(other.outcome)


def compare(without: Run, with_app: Run) -> list[Difference]:
    """Return what passes without the app and does not with it."""
    missing = Result("missing", "It was not run. Perhaps something that prepares it has failed.")
    return [
        Difference(test, found)
        for test, result in without.results.items()
        if result.outcome == "passed"
        and (found := with_app.results.get(test, missing)).outcome != "passed"
    ]


def doubts(without: Run, with_app: Run, *, delivers: bool = True) -> list[str]:
    """Return why the two runs prove nothing; none if they do.

    The app has to have delivered something, where there is something that it `delivers`.
    """
    found = []
    for name, run in ("without the app", without), ("with the app", with_app):
        if not run.complete:
            found.append(f"The run {name} broke off:\n{run.output}")
        elif not run.number_of("passed"):
            found.append(f"No test passed in the run {name}:\n{run.output}")
    if without.delivered is not None:
        found.append("The app was there in the run without it.")
    if with_app.complete and not with_app.delivered and (delivers or with_app.delivered is None):
        found.append("The app has invalidated nothing in the run with it.")
    if with_app.unwatched:
        number, example = len(with_app.unwatched), min(with_app.unwatched)
        found.append(f"The app did not see the writes of {number} tests, such as {example}.")
    return found
