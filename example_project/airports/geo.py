"""Distances on a sphere, and the squares of the map that a point lies on; no database here."""

import math
from collections.abc import Iterator
from typing import NamedTuple

Point = tuple[float, float]  # latitude and longitude, in degrees

EARTH_RADIUS_KM = 6371.0088

_COMPASS = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")

# Up to sixteen degrees. What is farther away than that is not near.
_LEVELS = range(6)


class Square(NamedTuple):
    """Half a degree wide on level 0, and on each further one as much as four of the level below.

    Rows count from the south pole, and columns from 180 degrees west.
    """

    level: int
    row: int
    column: int

    @property
    def south_west(self) -> Point:
        """The corner that belongs to it; the other three do not."""
        return (self.row << self.level) / 2 - 90, (self.column << self.level) / 2 - 180

    @property
    def degrees(self) -> float:
        return (1 << self.level) / 2


def squares(point: Point) -> Iterator[Square]:
    """Yield the squares in which a point lies, the smallest first, each inside of the next one."""
    # Twice a float and half an integer are exact, so a database finds a point where this does.
    row, column = math.floor(point[0] * 2) + 180, math.floor(point[1] * 2) + 360
    for level in _LEVELS:
        yield Square(level, row >> level, column >> level)


def distance_km(here: Point, there: Point) -> float:
    """Return the great-circle distance between two points (haversine), in kilometres."""
    phi, turn, to_phi = _radians(here, there)
    half_chord = _haversine(to_phi - phi) + math.cos(phi) * math.cos(to_phi) * _haversine(turn)
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(half_chord)))


def direction(here: Point, there: Point) -> str:
    """Return the compass point in which one sets out along the great circle to the other point."""
    phi, turn, to_phi = _radians(here, there)
    if abs(here[0]) == 90:
        return "S" if here[0] > 0 else "N"
    east = math.sin(turn) * math.cos(to_phi)
    north = math.cos(phi) * math.sin(to_phi) - math.sin(phi) * math.cos(to_phi) * math.cos(turn)
    return _COMPASS[round(math.degrees(math.atan2(east, north)) / 45) % 8]


def _radians(here: Point, there: Point) -> tuple[float, float, float]:
    """Return the latitude here, the difference in longitude and the latitude there."""
    return math.radians(here[0]), math.radians(there[1] - here[1]), math.radians(there[0])


def _haversine(angle: float) -> float:
    return math.sin(angle / 2) ** 2
