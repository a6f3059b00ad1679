import heapq

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cache_invalidation import invalidate
from example_project.airports import geo
from example_project.airports.loading import load, read_airports
from example_project.airports.models import Airport, Country
from example_project.airports.queries import NEAREST, nearest
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


def brute_force(here, airports):
    """Measure the distance to every single airport."""
    distances = (
        (geo.distance_km((here.latitude, here.longitude), (row.latitude, row.longitude)), row.icao)
        for row in airports
        if row.icao != here.icao
    )
    return heapq.nsmallest(NEAREST, distances)


PLACES = {
    "dense": place(33.9, -118.4),
    "alpine": place(47.46, 8.55),
    "middle of the pacific": place(-48.9, -123.4),
    "south pole": place(-90, 0),
    "north pole": place(90, 0),
    "near a pole": place(-89.99, 170),
    "arctic ocean": place(83, -40),
    "fiji": place(-17.75, 177.45),
    "west of the antimeridian": place(-16.7, 179.99),
    "east of the antimeridian": place(-16.7, -179.99),
    "on the antimeridian": place(65, 180),
    "on the antimeridian from the west": place(65, -180),
    "chukotka": place(66, -172),
    "aleutians": place(51.9, 179.3),
    "null island": place(0, 0),
    "easter island": place(-27.16, -109.42),
}


def test_nearest_agrees_with_measuring_every_distance():
    airports = read_airports()
    load(airports)
    some = airports[::1500]
    here = [*PLACES.values(), *(place(row.latitude, row.longitude, row.icao) for row in some)]
    for point in here:
        found = [(neighbour.distance_km, neighbour.icao) for neighbour in nearest(point)]
        expected = brute_force(point, airports)
        assert [icao for _, icao in found] == [icao for _, icao in expected], point
        assert [km for km, _ in found] == pytest.approx([km for km, _ in expected])


def test_fewer_airports_than_asked_for_are_all_found():
    load(read_airports(["FK"]))
    assert len(nearest(PLACES["north pole"])) == Airport.objects.count() < NEAREST


def test_two_airports_at_the_same_place_find_each_other():
    Country.objects.create(code="CH", name="Switzerland")
    airport("AAAA", 47, 8)
    airport("BBBB", 47, 8)
    found = nearest(place(47, 8, "AAAA"))
    assert [(neighbour.icao, neighbour.distance_km) for neighbour in found] == [("BBBB", 0)]


@pytest.fixture
def crowd():
    """Enough airports at one place for its search to end with the smallest radius."""
    Country.objects.create(code="CH", name="Switzerland")
    return [airport(f"C{number:03}", 47, 8 + number / 100) for number in range(NEAREST + 1)]


def icaos(point):
    return [neighbour.icao for neighbour in nearest(point)]


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
    assert nearest(place(47, 8.001))[0].name == "NAME"
    other.name = "Renamed"
    other.save()
    assert nearest(place(47, 8.001))[0].name == "Renamed"
    other.delete()
    assert "NAME" not in icaos(place(47, 8.001))


def test_a_bulk_write_is_seen_once_it_is_announced(crowd):
    assert "C000" in icaos(place(47, 8))
    Airport.objects.filter(icao="C000").update(longitude=100)
    invalidate(Airport)
    assert "C000" not in icaos(place(47, 8))


def test_a_move_far_away_leaves_the_cached_neighbours_alone(crowd):
    moving = airport("MOVE", -33, 151)
    icaos(place(47, 8))
    moving.latitude = -34
    moving.save()
    with CaptureQueriesContext(connection) as captured:
        icaos(place(47, 8))
    (names,) = captured.captured_queries
    assert "latitude" not in names["sql"]
