import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from example_project.airports import geo

latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)
points = st.tuples(latitudes, longitudes)

PARIS, SYDNEY = (48.8566, 2.3522), (-33.8688, 151.2093)


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


@given(points)
def test_a_point_is_on_one_square_of_each_size_each_inside_of_the_next(point):
    found = list(geo.squares(point))
    assert [square.degrees for square in found] == [0.5, 1, 2, 4, 8, 16]
    for square, larger in [*pairwise(found), (found[-1], found[-1])]:
        for value, low, lower in zip(point, square.south_west, larger.south_west, strict=True):
            assert lower <= low <= value < low + square.degrees <= lower + larger.degrees


@given(points, points)
def test_two_points_share_the_squares_that_hold_both(here, there):
    def holds(square, point):
        (south, west), (latitude, longitude) = square.south_west, point
        size = square.degrees
        return south <= latitude < south + size and west <= longitude < west + size

    shared = {square for square in geo.squares(here) if holds(square, there)}
    assert shared == {*geo.squares(here)} & {*geo.squares(there)}
