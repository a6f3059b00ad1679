"""The referee has to be beyond doubt: it must see stale reads where there are some."""

import multiprocessing

import pytest
from django.core.cache import cache

from example_project.airports.loading import load, read_airports
from example_project.airports.models import Airport
from example_project.race.harness import RaceError, Result, run
from example_project.race.strategies import Hand, Strategy

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

OURS = "example_project.race.strategies.Ours"
HAND = "example_project.race.strategies.Hand"


class NeverDeleted(Hand):
    """Cached once and never again."""

    def writing(self):
        return Strategy.writing(self)


class NotCached(Hand):
    def read(self, icao):
        return self.query(icao)


class Broken(Hand):
    """Fails where every reader comes by."""

    @property
    def misses(self):
        raise RuntimeError("as intended")

    @misses.setter
    def misses(self, number): ...


@pytest.fixture
def airports():
    load(read_airports(["LI", "LU", "IE"]))


@pytest.fixture(autouse=True)
def no_process_is_left():
    yield
    assert not multiprocessing.active_children()


def race(strategy, **options):
    path = strategy if isinstance(strategy, str) else f"{__name__}.{strategy.__qualname__}"
    return run(path, **{"seconds": 0, "writers": 1, "readers": 1, "rows": 4, **options})


def is_enough(total):
    """Whether there is something to judge."""
    return total.reads >= 500 and total.writes >= 20


def has_hits(total):
    return is_enough(total) and total.reads - total.misses >= 100


def test_a_cache_that_is_never_told_is_found_out(airports):
    result = race(NeverDeleted, is_enough=lambda total: total.stale > 0)
    assert result.stale > 0
    assert result.left_stale > 0
    assert not result.is_consistent


def test_a_read_past_the_cache_is_never_stale_and_never_a_hit(airports):
    result = race(NotCached, is_enough=is_enough)
    assert result.reads > 0 < result.writes
    assert result.is_consistent
    assert result.hit_rate == 0


def test_the_usual_recipe_runs(airports):
    result = race(HAND, is_enough=has_hits)
    assert result.misses > 0 < result.writes


def test_this_app_never_serves_a_stale_value(airports):
    result = race(OURS, writers=2, readers=2, pause_ms=3, is_enough=has_hits)
    assert result.is_consistent
    assert result.misses > 0 < result.writes


def test_writes_are_counted_and_committed(airports):
    before = dict(Airport.objects.values_list("icao", "elevation_ft"))
    result = race(HAND, is_enough=is_enough)
    after = dict(Airport.objects.values_list("icao", "elevation_ft"))
    assert sum(after.values()) - sum(before.values()) == result.writes > 0


def test_writers_keep_to_the_pace_of_the_readers(airports):
    result = race(HAND, writers=2, reads_per_write=20, is_enough=lambda total: total.writes >= 50)
    # Each of them may have found at the same moment that the next write is due.
    assert result.reads >= 20 * (result.writes - 2)


def test_what_an_earlier_race_left_in_the_cache_does_not_count(airports):
    for icao in Airport.objects.values_list("icao", flat=True):
        cache.set(f"race:elevation:{icao}", -1)
    assert race(HAND, writers=0, is_enough=lambda total: total.reads > 100).is_consistent


def test_a_process_that_dies_spoils_the_race(airports, capfd):
    with pytest.raises(RaceError, match="read has died"):
        race(Broken, is_enough=lambda total: False)
    assert "as intended" in capfd.readouterr().err


def test_there_have_to_be_enough_airports():
    with pytest.raises(RaceError, match="4 airports are needed, and there are 0"):
        race(HAND)


def test_the_hit_rate_of_nothing_is_nothing():
    nothing = Result(reads=0, misses=0, stale=0, writes=0, left_stale=0, seconds=1)
    assert nothing.hit_rate == 0
