import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cache_invalidation import invalidate
from example_project.airports import geo
from example_project.airports.loading import load, read_airports
from example_project.airports.models import Airport, Country
from example_project.airports.queries import FEW, nearby
from example_project.airports.values import AirportDetail

pytestmark = pytest.mark.django_db(transaction=True)


def place(latitude, longitude, icao="HERE"):
    return AirportDetail(icao, "", "", "", "", "CH", 0, "", latitude, longitude, "UTC")


def airport(icao, latitude, longitude):
    return Airport.objects.create(
        icao=icao,
        name=icao,
        country_id="CH",
        elevation_ft=0,
        latitude=latitude,
        longitude=longitude,
        timezone="UTC",
    )


def by_hand(here, airports):
    """Look at every single airport: return what is on the first square with more than a few."""
    point = here.latitude, here.longitude
    found: list[str] = []
    for square in geo.squares(point):
        found = [
            row.icao
            for row in airports
            if square in geo.squares((row.latitude, row.longitude)) and row.icao != here.icao
        ]
        if len(found) > FEW:
            break
    return set(found)


PLACES = {
    "dense": place(47.46, 8.55),
    "empty": place(-48.9, -123.4),
    "south pole": place(-90, 0),
    "north pole": place(90, 0),
    "on the antimeridian": place(65, 180),
    "on the antimeridian from the west": place(65, -180),
    "null island": place(0, 0),
}


def test_all_on_a_square_are_found_and_nothing_else_nearest_first():
    airports = read_airports(["CH", "NO", "FJ", "GH", "AQ"])
    load(airports)
    some = airports[::40]
    here = [*PLACES.values(), *(place(row.latitude, row.longitude, row.icao) for row in some)]
    for point in here:
        found = nearby(point)
        assert {neighbour.place.icao for neighbour in found} == by_hand(point, airports), point
        distances = [neighbour.distance_km for neighbour in found]
        assert distances == sorted(distances)


def test_two_airports_at_the_same_place_find_each_other():
    Country.objects.create(code="CH", name="Switzerland")
    airport("AAAA", 47, 8)
    airport("BBBB", 47, 8)
    found = nearby(place(47, 8, "AAAA"))
    assert [(neighbour.place.icao, neighbour.distance_km) for neighbour in found] == [("BBBB", 0)]


@pytest.fixture
def crowd():
    """Enough airports at one place for its search to end with the smallest square."""
    Country.objects.create(code="CH", name="Switzerland")
    return [airport(f"C{number:03}", 47, 8 + number / 100) for number in range(FEW + 1)]


def icaos(point):
    return [neighbour.place.icao for neighbour in nearby(point)]


@pytest.mark.parametrize("start", [(-33, 151), (47, 20), (46.5, 12)])
def test_an_airport_that_moves_here_appears(crowd, start):
    moving = airport("MOVE", *start)
    assert "MOVE" not in icaos(place(47, 8))
    moving.latitude, moving.longitude = 47, 8
    moving.save()
    assert "MOVE" in icaos(place(47, 8))


def test_an_airport_that_moves_away_disappears(crowd):
    moving = airport("MOVE", 47, 8)
    assert "MOVE" in icaos(place(47, 8))
    moving.longitude = -100
    moving.save()
    assert "MOVE" not in icaos(place(47, 8))


def test_a_new_name_is_seen_by_the_neighbours_and_a_deleted_airport_is_not(crowd):
    other = airport("NAME", 47, 8.001)
    assert nearby(place(47, 8.001))[0].place.name == "NAME"
    other.name = "Renamed"
    other.save()
    assert nearby(place(47, 8.001))[0].place.name == "Renamed"
    other.delete()
    assert "NAME" not in icaos(place(47, 8.001))


def test_a_bulk_write_is_seen_once_it_is_announced(crowd):
    assert "C000" in icaos(place(47, 8))
    Airport.objects.filter(icao="C000").update(longitude=100)
    invalidate(Airport)
    assert "C000" not in icaos(place(47, 8))


def test_what_is_far_away_or_not_shown_leaves_the_cached_neighbours_alone(crowd):
    moving = airport("MOVE", -33, 151)
    icaos(place(47, 8))
    moving.latitude = -34
    moving.save()
    Airport.objects.filter(icao="C000").update(city="Another")
    with CaptureQueriesContext(connection) as captured:
        icaos(place(47, 8))
    assert captured.captured_queries == []
