from io import StringIO

import pytest
from rich.console import Console

from example_project.airports.loading import load, read_airports
from example_project.airports.models import Airport
from example_project.demo import pages, show
from example_project.race.harness import Result

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def console():
    return Console(file=StringIO(), width=80)


def test_the_pages_are_shown_with_the_tags_of_the_edit(site, console):
    load(read_airports(["FR", "CH", "BR"]))
    pages.show(console)
    text = console.file.getvalue()
    assert "country:CH" in text
    assert "country:FR" in text
    assert "airport:LFSB" in text
    assert "country:BR" not in text
    assert Airport.objects.get(icao="LFSB").country_id == "CH"


RAN = {"reads": 1000, "misses": 100, "stale": 0, "writes": 50, "left_stale": 0, "seconds": 5.0}


@pytest.mark.parametrize(
    ("hand", "ours", "kept"),
    [
        ({"stale": 20, "left_stale": 1}, {}, True),
        ({}, {}, True),
        ({}, {"stale": 1}, False),
        ({}, {"left_stale": 1}, False),
        ({}, {"misses": 1000}, False),
        ({"reads": 0, "misses": 0}, {}, False),
    ],
)
def test_the_promise_is_kept_by_a_cache_that_works_and_is_never_stale(hand, ours, kept):
    assert show.is_kept(Result(**{**RAN, **hand}), Result(**{**RAN, **ours})) is kept


def test_both_recipes_are_shown(console, monkeypatch):
    load(read_airports(["IE"]))
    monkeypatch.setattr(show, "SECONDS", 0)
    monkeypatch.setattr(show, "READERS", 1)
    monkeypatch.setattr(show, "PAUSE_MS", 0)
    assert show.show_race(console)
    for name in show.RECIPES:
        assert name.split()[0] in console.file.getvalue()
