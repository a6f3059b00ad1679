import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from example_project.airports import geo
from example_project.airports.search_area import RADII_KM, tags_of_place, tags_of_search

latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)
points = st.tuples(latitudes, longitudes)
radii = st.floats(0.1, 20_100)

PARIS, SYDNEY = (48.8566, 2.3522), (-33.8688, 151.2093)


@st.composite
def circles(draw):
    """A point, a radius and a point that is within the radius of the first one."""
    latitude, longitude = draw(points)
    radius = draw(radii)
    return (latitude, longitude), radius, _travel((latitude, longitude), draw)(radius)


def _travel(start, draw):
    """Return a function that goes up to so many kilometres in a random direction."""
    bearing, share = draw(st.floats(0, 2 * math.pi)), draw(st.floats(0, 1))

    def go(radius):
        phi, lam = map(math.radians, start)
        angle = min(share * radius / geo.EARTH_RADIUS_KM, math.pi)
        sine = math.sin(phi) * math.cos(angle) + math.cos(phi) * math.sin(angle) * math.cos(bearing)
        to_phi = math.asin(max(-1, min(1, sine)))
        turn = math.atan2(
            math.sin(bearing) * math.sin(angle) * math.cos(phi),
            math.cos(angle) - math.sin(phi) * math.sin(to_phi),
        )
        longitude = math.degrees(lam + turn)
        return math.degrees(to_phi), (longitude + 180) % 360 - 180

    return go


def _vector(point):
    phi, lam = map(math.radians, point)
    return math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi)


@given(points, points)
def test_the_distance_is_the_angle_between_two_vectors(here, there):
    a, b = _vector(here), _vector(there)
    cross = math.hypot(
        a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
    )
    angle = math.atan2(cross, sum(x * y for x, y in zip(a, b, strict=True)))
    assert geo.distance_km(here, there) == pytest.approx(angle * geo.EARTH_RADIUS_KM, abs=1e-3)


def test_the_distance_from_paris_to_sydney_is_what_an_atlas_says():
    assert geo.distance_km(PARIS, SYDNEY) == pytest.approx(16_960, rel=0.002)


@pytest.mark.parametrize(
    ("there", "expected"),
    [((1, 0), "N"), ((1, 1), "NE"), ((0, 1), "E"), ((-1, 0), "S"), ((0, -1), "W"), ((1, -1), "NW")],
)
def test_directions_are_those_of_a_compass(there, expected):
    assert geo.direction((0, 0), there) == expected


def test_east_of_the_antimeridian_is_east():
    assert geo.direction((0, 179.5), (0, -179.5)) == "E"


def test_every_way_from_a_pole_leads_to_the_other():
    assert geo.direction((-90, 0), SYDNEY) == "N"
    assert geo.direction((90, 0), PARIS) == "S"


@given(circles())
def test_a_box_holds_everything_within_the_radius(circle):
    here, radius, there = circle
    assert there in geo.box_around(here, radius)


def test_a_box_leaves_out_most_of_the_earth():
    box = geo.box_around(PARIS, 100)
    assert SYDNEY not in box
    assert box.north - box.south < 2
    assert sum(east - west for west, east in box.spans) < 3


def test_a_box_across_the_antimeridian_has_two_spans():
    box = geo.box_around((-17, 179.9), 100)
    assert (-17, -179.9) in box
    assert (-17, 0) not in box
    assert len(box.spans) == 2


def test_a_box_around_a_pole_spans_all_longitudes():
    assert geo.box_around((-89.9, 0), 100).spans == ((-180, 180),)


@given(circles(), st.sampled_from([2, 7, 8, 32, 180]))
def test_the_cells_of_a_box_hold_every_point_of_it(circle, size):
    here, radius, there = circle
    assert geo.cell(there, size) in set(geo.cells(geo.box_around(here, radius), size))


@given(circles().filter(lambda circle: circle[1] <= max(RADII_KM)))
def test_a_search_shares_a_tag_with_every_place_that_it_may_find(circle):
    (latitude, longitude), radius, there = circle
    for reach in RADII_KM:
        if radius <= reach:
            assert {*tags_of_search(latitude, longitude, reach)} & {*tags_of_place(*there)}


@given(latitudes, longitudes, st.sampled_from(RADII_KM))
def test_a_search_depends_on_few_tags(latitude, longitude, radius_km):
    assert len(tags_of_search(latitude, longitude, radius_km)) <= 9
