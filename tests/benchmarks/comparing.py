"""Several ways of the same, timed by turns, and two of them told in one row."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.benchmarks.table import Point, Row
from tests.benchmarks.timing import Alternative, Times, by_turns, repeat


def compared(
    name: str,
    theirs: Callable[[], Any],
    ours: Callable[[], Any],
    *,
    calls: int,
    rounds: int,
    budget: float,
) -> Row:
    """Return what a call of `ours` takes next to one of `theirs`, of so many in each round."""
    times = called({"theirs": theirs, "ours": ours}, calls=calls, rounds=rounds)
    return ratio(name, times, "ours", "theirs", budget=budget)


def called(ways: Mapping[str, Callable[[], Any]], *, calls: int, rounds: int) -> Times:
    """Return what a call of each of `ways` takes, of so many in each round."""
    alternatives = {
        name: Alternative(run=repeat(way, calls), warm_up=way) for name, way in ways.items()
    }
    return by_turns(alternatives, rounds, per=calls)


def ratio(
    name: str,
    times: Times,
    ours: str,
    theirs: str,
    *,
    budget: float | None = None,
    point: Point | None = None,
) -> Row:
    """Return what the alternative `ours` took next to `theirs`."""
    return Row(
        name=name,
        unit="µs",
        baseline=times.of(theirs) * 1e6,
        ours=times.of(ours) * 1e6,
        kind="ratio",
        figure=times.ratio(ours, theirs),
        budget=budget,
        point=point,
    )


def added(name: str, times: Times, ours: str, theirs: str, *, budget: float | None = None) -> Row:
    """Return what the alternative `ours` took on top of `theirs`, in milliseconds."""
    return Row(
        name=name,
        unit="ms",
        baseline=times.of(theirs) * 1e3,
        ours=times.of(ours) * 1e3,
        kind="added",
        figure=times.added(ours, theirs) * 1e3,
        budget=budget,
    )
