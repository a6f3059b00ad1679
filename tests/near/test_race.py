"""Near values in several processes, on the same few rows, for real and for a while."""

import pytest

from cache_invalidation.stores.redis.near import RedisNear
from example_project.race.strategies import Near
from tests.consistency.racing import race
from tests.near.soak import NobodyWaits, trouble

__all__ = ["race"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture(autouse=True)
def long_leases() -> None:
    """Leave leases as short as they are."""


def test_nothing_stale_is_read_and_nothing_stale_is_left(race):
    result = race(Near, lambda total: total.reads >= 100_000 and total.writes > 200)
    assert (result.stale, result.left_stale) == (0, 0)


def test_nor_in_the_middle_of_trouble(race):
    with trouble() as done:
        result = race(Near, lambda total: total.reads >= 30_000 and len(done) >= 30)
    assert (result.stale, result.left_stale) == (0, 0)


def test_if_no_writer_waits_stale_values_are_read(race, monkeypatch):
    # It is prepared in this process, which has to be as before when it is over.
    monkeypatch.setattr(RedisNear, "_wait", RedisNear._wait)
    assert race(NobodyWaits, lambda total: total.stale > 0).stale > 0
