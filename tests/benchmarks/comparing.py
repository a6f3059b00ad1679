"""Two ways of the same, timed by turns and told in one row."""

from collections.abc import Callable
from typing import Any

from tests.benchmarks.table import Row
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
    times = by_turns(
        {
            "theirs": Alternative(run=repeat(theirs, calls), warm_up=theirs),
            "ours": Alternative(run=repeat(ours, calls), warm_up=ours),
        },
        rounds=rounds,
        per=calls,
    )
    return ratio(name, times, "ours", "theirs", budget=budget)


def ratio(name: str, times: Times, ours: str, theirs: str, *, budget: float) -> Row:
    """Return what the alternative `ours` took next to `theirs`."""
    return Row(
        name=name,
        unit="µs",
        baseline=times.of(theirs) * 1e6,
        ours=times.of(ours) * 1e6,
        kind="ratio",
        figure=times.ratio(ours, theirs),
        budget=budget,
    )
