"""Lists are right after each edit, and only what changes one computes it anew."""

import random
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from example_project.airports import bands, queries, searching
from example_project.airports.models import Airport

pytestmark = pytest.mark.usefixtures("alpine")

SEARCHES = ["", "CH", "at", "z", "Zur", "wien", "LSZH", "Île", "il", "ß", "SS", "K"]


def lists():
    """Return all lists of codes, by whom they are computed and with what."""
    found: list[tuple[Any, tuple[Any, ...]]] = [(queries.codes_found, (text,)) for text in SEARCHES]
    found += [(queries.codes_of, (country,)) for country in ("CH", "AT", "LI")]
    for field, country in [("elevation_ft", ""), ("elevation_ft", "AT"), ("latitude", "")]:
        for band in bands.upwards(field):
            found += [
                (queries.first_in_band, (field, band, country, o)) for o in (field, f"-{field}")
            ]
    return found


def edit(chance):
    """Change something, by `save()` or without."""
    airport = chance.choice(Airport.objects.order_by("icao")[:40])
    row = Airport.objects.filter(pk=airport.pk)
    names = ["Zurich", "zell", "Île", "ille", "Kelvin \u212a", "\u212aelvin", "ßß", "CH", "Wien"]
    match chance.randrange(5):
        case 0:
            row.update(elevation_ft=F("elevation_ft") + chance.choice([-900, 1, 900]))
        case 1:
            row.update(latitude=chance.uniform(-90, 90))
        case 2:
            airport.name, airport.city = chance.choice(names), chance.choice(names)
            airport.iata = chance.choice(["SS", "ZZZ", ""])
            airport.save()
        case 3:
            airport.country_id = chance.choice(["CH", "AT", "LI"])
            airport.save()
        case 4:
            airport.delete()


def test_every_list_is_what_it_is_without_a_cache():
    chance = random.Random(3)
    for _ in range(60):
        for function, arguments in lists():
            assert function(*arguments) == function.uncached(*arguments), arguments
        edit(chance)


def test_the_most_and_the_least_are_those_of_a_query():
    airports = Airport.objects.values_list("icao", flat=True)
    austrian = airports.filter(country="AT")
    assert queries.most("elevation_ft", 10) == [*airports.order_by("-elevation_ft", "icao")[:10]]
    assert queries.least("elevation_ft", 10) == [*airports.order_by("elevation_ft", "icao")[:10]]
    assert queries.most("latitude", 10) == [*airports.order_by("-latitude", "icao")[:10]]
    assert queries.most("elevation_ft", 1, "AT") == [austrian.order_by("-elevation_ft", "icao")[0]]
    assert queries.least("elevation_ft", 1, "LI") == []


@pytest.mark.parametrize("value", [-2000, -1, 0, 9, 10, 9999, 10_000, 40_000])
def test_a_value_is_within_the_bounds_of_its_band(value):
    found = bands.bounds("elevation_ft", bands.band("elevation_ft", value))
    assert found.get("elevation_ft__gte", value) <= value < found.get("elevation_ft__lt", value + 1)


def computes(act):
    """Return the queries that it takes to show a page again after `act`."""
    codes = queries.codes_of("CH")[:20]

    def show():
        return queries.codes_of("CH"), queries.codes_found("CH"), queries.places_on(0, 0, 0)

    show()
    act(Airport.objects.filter(icao=codes[3]))
    with CaptureQueriesContext(connection) as captured:
        show()
    return len(captured)


def test_what_does_not_change_which_airports_are_in_a_list_leaves_it():
    assert (
        computes(lambda row: row.update(city="Elsewhere", elevation_ft=F("elevation_ft") + 1)) == 0
    )
    assert computes(lambda row: row.update(name="Elsewhere")) == 0
    assert computes(lambda row: row.update(name="Chur")) == 1
    assert computes(lambda row: row.update(country="AT")) == 2


def test_a_search_depends_on_two_letters_and_on_what_is_not_told_apart():
    assert searching.tags_of_search("Zurich") == ["search:zu", "search:other"]
    assert [*searching.tags_of_values(["Z", "Île"])] == [
        *("search:z", "search:z"),
        *("search:other", "search:other"),
    ]
