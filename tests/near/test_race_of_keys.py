"""Tracked keys near in several processes, on the same few rows, for real and for a while."""

from typing import Any

import pytest

from cache_invalidation.stores.redis.near import RedisNear
from cache_invalidation.stores.redis.store import RedisStore
from tests.consistency.racing import Race, race
from tests.near.keys import OPTIONS, caches_with
from tests.near.racing_keys import (
    Dropped,
    DroppedByWhoDoesNotWait,
    Overwritten,
    OverwrittenByWhoDoesNotWait,
    OverwrittenInSilence,
)
from tests.near.soak_of_keys import trouble

__all__ = ["race"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture(autouse=True)
def long_leases() -> None:
    """Leave leases as short as they are."""


@pytest.fixture(autouse=True)
def tracked(settings: Any, in_use: None, request: pytest.FixtureRequest) -> None:
    blind = ["race:*"] if "Overwritten" in request.node.name else []
    settings.CACHES = caches_with(**{**OPTIONS, "BLIND": blind})


@pytest.mark.parametrize("strategy", [Dropped, Overwritten])
def test_nothing_stale_is_read_and_nothing_stale_is_left(race: Race, strategy: Any):
    result = race(strategy, lambda total: total.reads >= 30_000 and total.writes > 100)
    assert (result.stale, result.left_stale) == (0, 0)


@pytest.mark.parametrize("strategy", [Dropped, Overwritten])
def test_nor_in_the_middle_of_trouble(race: Race, strategy: Any):
    with trouble() as done:
        result = race(strategy, lambda total: total.reads >= 10_000 and len(done) >= 15)
    assert (result.stale, result.left_stale) == (0, 0)


@pytest.mark.parametrize(
    "strategy", [DroppedByWhoDoesNotWait, OverwrittenByWhoDoesNotWait, OverwrittenInSilence]
)
def test_without_one_of_the_rules_stale_values_are_read(
    race: Race, strategy: Any, monkeypatch: pytest.MonkeyPatch
):
    # It is prepared in this process, which has to be as before when it is over.
    monkeypatch.setattr(RedisNear, "_wait", RedisNear._wait)
    monkeypatch.setattr(RedisStore, "_fill_and_tell", RedisStore._fill_and_tell)
    assert race(strategy, lambda total: total.stale > 0).stale > 0
