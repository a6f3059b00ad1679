"""Readers and writers in several processes on the same few rows, for real and for a while."""

from collections.abc import Callable

import pytest

from example_project.airports.loading import load, read_airports
from example_project.race.harness import Result, run
from tests.consistency.mixture import Mixture

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(300),
    pytest.mark.slow,
]

Race = Callable[[str, float], Result]

OURS = "example_project.race.strategies.Ours"
HAND = "example_project.race.strategies.Hand"
MIXTURE = f"{Mixture.__module__}.{Mixture.__qualname__}"

SECONDS = 22
READS = 100_000


@pytest.fixture
def race() -> Race:
    load(read_airports(["IE"]))

    def start(strategy: str, seconds: float) -> Result:
        return run(
            strategy,
            seconds=seconds,
            writers=2,
            readers=4,
            rows=16,
            pause_ms=3,
            write_interval_ms=8,
        )

    return start


def test_nothing_stale_is_read_and_nothing_stale_is_left(race: Race) -> None:
    results = [race(OURS, SECONDS)]
    # A slow machine takes longer to read as often.
    while sum(result.reads for result in results) < READS and len(results) < 8:
        results.append(race(OURS, SECONDS))
    assert sum(result.reads for result in results) >= READS
    assert sum(result.writes for result in results) > 1_000
    assert [(result.stale, result.left_stale) for result in results] == [(0, 0)] * len(results)


def test_nor_with_reads_and_writes_that_only_the_watcher_tells_of(race: Race) -> None:
    result = race(MIXTURE, 14)
    assert (result.stale, result.left_stale) == (0, 0)
    assert Mixture(pause=0).left_stale() == []
    assert result.reads > 5_000
    assert result.writes > 300
    assert result.hit_rate > 0.5


def test_the_recipe_that_most_projects_write_does_read_stale(race: Race) -> None:
    """If the harness did not find these, it would prove nothing above."""
    assert race(HAND, 8).stale > 0
