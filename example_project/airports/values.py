"""What is cached: plain values, small to store, and equal when they show the same."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CountryLine:
    """A country in a list."""

    code: str
    name: str
    airports: int


@dataclass(frozen=True, slots=True)
class AirportLine:
    """An airport in a list; `country` is the code."""

    icao: str
    iata: str
    name: str
    city: str
    subdivision: str
    country: str
    elevation_ft: int


@dataclass(frozen=True, slots=True)
class AirportDetail(AirportLine):
    """An airport on its own page."""

    country_name: str
    latitude: float
    longitude: float
    timezone: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where an airport is, and what it is called; `country` is the code."""

    icao: str
    iata: str
    name: str
    country: str
    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An airport as seen from another place."""

    place: Place
    distance_km: float
    direction: str


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a country."""

    with_iata: int
    timezones: tuple[str, ...]
    subdivisions: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class NorthernLine(AirportLine):
    """An airport in a list of those farthest north or south."""

    latitude: float


@dataclass(frozen=True, slots=True)
class Records:
    """The airports and countries that stand out, each list with the most extreme first."""

    highest: tuple[AirportLine, ...]
    lowest: tuple[AirportLine, ...]
    northernmost: tuple[NorthernLine, ...]
    southernmost: tuple[NorthernLine, ...]
    most_airports: tuple[CountryLine, ...]
