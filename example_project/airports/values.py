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
    """Where an airport is, as seen from another place."""

    icao: str
    distance_km: float
    direction: str


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An airport as seen from another place."""

    icao: str
    iata: str
    name: str
    country: str
    distance_km: float
    direction: str


@dataclass(frozen=True, slots=True)
class CountryStatistics:
    """The figures of a country; those of a country without airports are 0 and None."""

    code: str
    name: str
    airports: int
    with_iata: int
    timezones: int
    mean_elevation_ft: float | None
    highest: AirportLine | None
    lowest: AirportLine | None
    subdivisions: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Records:
    """The airports and countries that stand out, each list with the most extreme first."""

    highest: tuple[AirportDetail, ...]
    lowest: tuple[AirportDetail, ...]
    northernmost: tuple[AirportDetail, ...]
    southernmost: tuple[AirportDetail, ...]
    most_airports: tuple[CountryLine, ...]
