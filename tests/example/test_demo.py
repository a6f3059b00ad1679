from io import StringIO
from typing import Any

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
    assert "airports-of:CH" in text
    assert "airports-of:FR" in text
    assert "airports.airport.icao:LFSB" in text
    assert "airports-of:BR" not in text
    assert Airport.objects.get(icao="LFSB").country_id == "CH"


def test_a_hit_a_304_and_what_the_edit_leaves_alone_ask_for_nothing(site, console):
    load(read_airports(["FR", "CH", "BR"]))
    pages.show(console)
    rows = [row.split("│")[1:-1] for row in console.file.getvalue().splitlines() if "│" in row]
    costs = {name.strip(): [cost.split()[0] for cost in row] for name, *row in rows}
    assert costs.keys() == pages.PAGES.keys()
    for page, (computed, hit, same, edited) in costs.items():
        assert (computed != "0", hit, same) == (True, "0", "0"), page
        assert (edited == "0") == (page in UNTOUCHED), page


def test_two_users_are_shown_to_have_pages_of_their_own_where_they_are_on_them(site, console):
    load(read_airports(["CH"]))
    pages.show_visitors(console)
    rows = [row.split("│")[1:-1] for row in console.file.getvalue().splitlines() if "│" in row]
    seen = {name.strip(): [text.strip() for text in row] for name, *row in rows}
    assert seen["Countries"] == ["made for ann", "made for ben", "hit for ann", "hit for ben"]
    assert seen["Zürich"] == ["made for all", "hit for all", "hit for all", "hit for all"]


# The list of the API shows the first hundred airports, and the one that is edited is none of them.
UNTOUCHED = ("Brazil", "Zürich", "São Paulo", "API")

RAN: dict[str, Any] = {
    "reads": 1000,
    "misses": 100,
    "stale": 0,
    "writes": 50,
    "left_stale": 0,
    "seconds": 5.0,
}


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
    ran, results = Result(**RAN), (Result(**{**RAN, **hand}), Result(**{**RAN, **ours}))
    assert show.is_kept(*results) is kept
    assert show.is_kept(*results, ran) is kept
    assert show.is_kept(results[0], ran, results[1]) is kept


def test_all_recipes_are_shown(console, monkeypatch):
    load(read_airports(["IE"]))
    monkeypatch.setattr(show, "READS", 50)
    monkeypatch.setattr(show, "READERS", 1)
    monkeypatch.setattr(show, "PAUSE_MS", 0)
    assert show.show_race(console)
    for name in show.RECIPES:
        assert name.split()[0] in console.file.getvalue()
