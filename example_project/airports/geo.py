"""Distances on a sphere, and the cells that a search around a point touches; no database here."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

Point = tuple[float, float]  # latitude and longitude, in degrees
Cell = tuple[int, int]  # band, counted from the south pole, and column, from 180 degrees west

EARTH_RADIUS_KM = 6371.0088

# Wider than rounding can be wrong. A box may be some millimetres too large, never too small.
_MARGIN = 1e-9  # radians

_COMPASS = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")


@dataclass(frozen=True, slots=True)
class Box:
    """Every point between two parallels and inside of one or two spans of longitude, in degrees."""

    south: float
    north: float
    spans: tuple[tuple[float, float], ...]

    def __contains__(self, point: Point) -> bool:
        latitude, longitude = point
        return self.south <= latitude <= self.north and any(
            west <= longitude <= east for west, east in self.spans
        )


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


def box_around(point: Point, radius_km: float) -> Box:
    """Return a box that contains every point within `radius_km` of a point.

    Around a pole it spans all longitudes; across the antimeridian it has two spans.
    """
    latitude, longitude = point
    phi, angle = math.radians(latitude), radius_km / EARTH_RADIUS_KM + _MARGIN
    south, north = phi - angle, phi + angle
    if south <= -math.pi / 2 or north >= math.pi / 2:
        return Box(max(math.degrees(south), -90), min(math.degrees(north), 90), ((-180, 180),))
    # The circle is widest not at its centre's parallel but at the meridians that touch it.
    reach = math.degrees(math.asin(math.sin(angle) / math.cos(phi)) + _MARGIN)
    west, east = longitude - reach, longitude + reach
    spans: tuple[tuple[float, float], ...] = ((west, east),)
    if west < -180:
        spans = ((west + 360, 180), (-180, east))
    elif east > 180:
        spans = ((west, 180), (-180, east - 360))
    return Box(math.degrees(south), math.degrees(north), spans)


def cell(point: Point, size: int) -> Cell:
    """Return the band and the column of the cell of about `size` degrees in which a point lies."""
    latitude, longitude = point
    band = _band(latitude, size)
    return band, _column(longitude, _columns(band, size))


def cells(box: Box, size: int) -> Iterator[Cell]:
    """Iterate over the cells that `box` touches, each once."""
    for band in range(_band(box.south, size), _band(box.north, size) + 1):
        count = _columns(band, size)
        touched = {
            column
            for west, east in box.spans
            for column in range(_column(west, count), _column(east, count) + 1)
        }
        yield from ((band, column) for column in sorted(touched))


def _radians(here: Point, there: Point) -> tuple[float, float, float]:
    """Return the latitude here, the difference in longitude and the latitude there."""
    return math.radians(here[0]), math.radians(there[1] - here[1]), math.radians(there[0])


def _haversine(angle: float) -> float:
    return math.sin(angle / 2) ** 2


def _band(latitude: float, size: int) -> int:
    return math.floor((latitude + 90) / size)


def _columns(band: int, size: int) -> int:
    # Meridians meet at the poles: a band there is cut into fewer cells, to keep them equally wide.
    middle = min(90.0, (band + 0.5) * size - 90)
    return max(1, round(360 / size * math.cos(math.radians(middle))))


def _column(longitude: float, count: int) -> int:
    # 180° east and 180° west are one meridian, and it is in the last column or in the first; a box
    # that touches it has both as its ends.
    return min(count - 1, math.floor((longitude + 180) / 360 * count))
