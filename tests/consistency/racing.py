"""The race that tests of strategies have in common."""

from collections.abc import Callable, Iterator

import pytest

from example_project.airports.loading import load, read_airports
from example_project.race.harness import Enough, Result, run
from example_project.race.strategies import Strategy
from tests.reads.aging import settle

Race = Callable[[type[Strategy] | str, Enough], Result]


def path_of(strategy: type[Strategy]) -> str:
    """Return the dotted path by which a process of its own finds a strategy."""
    return f"{strategy.__module__}.{strategy.__qualname__}"


@pytest.fixture
def race() -> Iterator[Race]:
    """Race with a strategy, or the dotted path of one, until there is enough to judge."""
    load(read_airports(["IE"]))

    def start(strategy: type[Strategy] | str, is_enough: Enough) -> Result:
        return run(
            strategy if isinstance(strategy, str) else path_of(strategy),
            seconds=0,
            is_enough=is_enough,
            writers=2,
            readers=4,
            rows=16,
            pause_ms=3,
            write_interval_ms=8,
        )

    yield start
    settle()  # This process has read as well, to see what is left stale.
