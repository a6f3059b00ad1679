"""Readers and writers in several processes on the same few rows, for real and for a while.

How long that is depends on the machine: until enough was read and written.
"""

from collections import Counter

import pytest

from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.reads import ahead, hottest
from cache_invalidation.reads.together import Block
from example_project.race.strategies import Hand, Ours, tracked_cache
from tests.consistency.mixture import Mixture
from tests.consistency.racing import Race, race
from tests.consistency.refreshing import Refreshing
from tests.consistency.together import Together
from tests.surfaces.by_hand import tracking

__all__ = ["race", "tracking"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def test_nothing_stale_is_read_and_nothing_stale_is_left(race: Race) -> None:
    result = race(Ours, lambda total: total.reads >= 30_000 and total.writes > 300)
    assert (result.stale, result.left_stale) == (0, 0)


@pytest.mark.usefixtures("tracking")  # Some of it is cached by hand.
def test_nor_with_reads_and_writes_that_only_the_watcher_tells_of(race: Race) -> None:
    result = race(Mixture, lambda total: total.reads - total.misses > 1_000 and total.writes > 100)
    assert (result.stale, result.left_stale) == (0, 0)
    assert Mixture(pause=0).left_stale() == []


def test_nor_while_everything_is_refreshed_and_warmed(
    race: Race, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The race is prepared in this process, which has to be as before when it is over.
    for module, name in ((ahead, "DUE"), (ahead, "_PAUSE"), (hottest, "SAMPLED")):
        monkeypatch.setattr(module, name, getattr(module, name))
    result = race(Refreshing, lambda total: total.reads >= 3_000 and total.writes > 200)
    assert (result.stale, result.left_stale) == (0, 0)
    done: Counter[str] = Counter()
    for outcomes in read_metrics()["refreshed"].values():
        done.update(outcomes)
    assert min(done["stored"], done["refused"], done["warmed"]) > 0


def test_nor_in_blocks_that_fetch_together(race: Race) -> None:
    result = race(Together, lambda total: total.reads >= 2_000 and total.writes > 100)
    assert (result.stale, result.left_stale) == (0, 0)
    metrics = read_metrics()
    assert metrics["fetched_together"] - metrics["fetched_in_vain"] > 500


@pytest.mark.parametrize("wrong", ["Heedless", "Endless"])
def test_such_blocks_would_be_found_if_they_were_wrong(
    race: Race, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The race is prepared in this process, which has to be as before when it is over.
    for name in ("give_up", "_found"):
        monkeypatch.setattr(Block, name, getattr(Block, name))
    strategy = f"{Together.__module__}.{wrong}"
    assert race(strategy, lambda total: total.stale > 0).stale > 0


@pytest.mark.parametrize("recipe", ["HandTracked", "NoReceiver"])
def test_nor_by_that_recipe_with_tracked_keys(race: Race, recipe: str) -> None:
    with tracked_cache():
        result = race(
            f"example_project.race.strategies.{recipe}",
            lambda total: total.reads - total.misses >= 1_500 and total.writes > 100,
        )
    assert (result.stale, result.left_stale) == (0, 0)


def test_the_recipe_that_most_projects_write_does_read_stale(race: Race) -> None:
    """If the harness did not find these, it would prove nothing above."""
    assert race(Hand, lambda total: total.stale > 0).stale > 0
