"""What the pages show.

The pages are cached, and find out what is read here. What several of them need is cached on its own
as well.

A list is made of two things: which airports are in it, in which order, and their rows. The first is
cached under a tag, which a rule drops when that changes; the second is asked for by codes. So what
changes in an airport drops the pages that show it, and not all pages of all lists that it is in.

They return plain values instead of model instances: small to store, and nothing that a template
does with them can run a query behind the cache's back.
"""

import heapq
from collections.abc import Sequence

from django.db.models import Count, Q

from cache_invalidation import cached
from example_project.airports import bands, geo, searching
from example_project.airports.models import Airport, Country
from example_project.airports.values import (
    AirportDetail,
    AirportLine,
    CountryLine,
    Figures,
    Neighbour,
    NorthernLine,
    Place,
    Records,
)

# Seconds. Entries go because what they show has changed; this only clears away unread ones.
DAY = 24 * 60 * 60

PAGE_SIZE = 100
FEW = 5  # neighbours, for which one looks at a larger square of the map
RECORDS = 10

_LINE = ("icao", "iata", "name", "city", "subdivision", "country_id", "elevation_ft")
_PLACE = ("icao", "iata", "name", "country_id", "latitude", "longitude")


# Found out, it would depend on all that there is about any airport.
@cached(timeout=DAY, tags=[Country, "airports-per-country"])
def countries() -> tuple[CountryLine, ...]:
    """Return the countries that have airports, by name."""
    counted = Country.objects.annotate(count=Count("airports")).filter(count__gt=0)
    return tuple(
        CountryLine(*row) for row in counted.order_by("name").values_list("code", "name", "count")
    )


def country_name(code: str) -> str | None:
    """Return the name of a country, or None if there is no such country."""
    return Country.objects.filter(code=code).values_list("name", flat=True).first()


# By their codes, which no edit changes. By their names, each new name would drop all pages.
@cached(timeout=DAY, tags=["airports-of:{country}"])
def codes_of(country: str) -> tuple[str, ...]:
    """Return the codes of the airports of a country."""
    airports = Airport.objects.filter(country=country)
    return tuple(airports.order_by("icao").values_list("icao", flat=True))


@cached(timeout=DAY, tags=["figures:{country}"])
def figures(country: str) -> Figures:
    """Return how many airports of a country have what."""
    airports = Airport.objects.filter(country=country)
    subdivisions = (
        airports.exclude(subdivision="")
        .values_list("subdivision")
        .annotate(count=Count("pk"))
        .order_by("-count", "subdivision")
    )
    timezones = airports.order_by("timezone").values_list("timezone", flat=True)
    return Figures(
        with_iata=airports.exclude(iata="").count(),
        timezones=tuple(timezones.distinct()),
        subdivisions=tuple((name, count) for name, count in subdivisions),
    )


def lines(codes: Sequence[str]) -> tuple[AirportLine, ...]:
    """Return the airports with these codes, in this order."""
    rows = Airport.objects.filter(icao__in=codes).values_list(*_LINE)
    found = {row[0]: AirportLine(*row) for row in rows}
    return tuple(found[code] for code in codes if code in found)


def airport(icao: str) -> AirportDetail | None:
    """Return one airport, or None if there is none with this code."""
    row = Airport.objects.filter(icao=icao).first()
    if row is None:
        return None
    # The country in a query of its own: the page depends on this one, and through a join on all.
    line = [getattr(row, name) for name in _LINE]
    detail = [*line, row.country.name, row.latitude, row.longitude, row.timezone]
    return AirportDetail(*detail)


def nearby(airport: AirportDetail) -> tuple[Neighbour, ...]:
    """Return the airports on the same square of the map, nearest first, without itself.

    It is the smallest square with more than a few, or the largest one. The page shows all that are
    on it, so what drops it changes it. Ten that are the nearest, without a border, would depend on
    others as well: on whatever might be nearer.
    """
    here = airport.latitude, airport.longitude
    found: list[Neighbour] = []
    for square in geo.squares(here):
        found = [
            _seen_from(here, place) for place in places_on(*square) if place.icao != airport.icao
        ]
        if len(found) > FEW:
            break
    return tuple(sorted(found, key=lambda each: (each.distance_km, each.place.icao)))


def _seen_from(here: geo.Point, place: Place) -> Neighbour:
    there = place.latitude, place.longitude
    return Neighbour(place, geo.distance_km(here, there), geo.direction(here, there))


# No query shows that what is elsewhere does not count.
@cached(timeout=DAY, tags=["square:{level}:{row}:{column}"])
def places_on(level: int, row: int, column: int) -> tuple[Place, ...]:
    """Return the airports on a square of the map."""
    square = geo.Square(level, row, column)
    south, west = square.south_west
    airports = Airport.objects.filter(
        latitude__gte=south,
        latitude__lt=south + square.degrees,
        longitude__gte=west,
        longitude__lt=west + square.degrees,
    )
    return tuple(Place(*row) for row in airports.order_by("icao").values_list(*_PLACE))


def records() -> Records:
    """Return the airports and countries that stand out."""
    return Records(
        highest=lines(most("elevation_ft", RECORDS)),
        lowest=lines(least("elevation_ft", RECORDS)),
        northernmost=_with_latitudes(most("latitude", RECORDS)),
        southernmost=_with_latitudes(least("latitude", RECORDS)),
        most_airports=tuple(heapq.nlargest(RECORDS, countries(), key=lambda line: line.airports)),
    )


def _with_latitudes(codes: Sequence[str]) -> tuple[NorthernLine, ...]:
    rows = Airport.objects.filter(icao__in=codes).values_list(*_LINE, "latitude")
    found = {row[0]: NorthernLine(*row) for row in rows}
    return tuple(found[code] for code in codes if code in found)


def most(field: str, number: int, country: str = "") -> list[str]:
    """Return the codes of those airports, of a country or of all, that have the most of `field`."""
    found: list[str] = []
    for band in reversed(bands.upwards(field)):
        if len(found) < number:
            found += first_in_band(field, band, country, f"-{field}")
    return found[:number]


def least(field: str, number: int, country: str = "") -> list[str]:
    """Return the codes of those airports that have the least of `field`."""
    found: list[str] = []
    for band in bands.upwards(field):
        if len(found) < number:
            found += first_in_band(field, band, country, field)
    return found[:number]


def _tags_of_band(field: str, band: int, country: str, order: str) -> list[str]:
    return [f"{field}:{band}:{country}" if country else f"{field}:{band}"]


@cached(timeout=DAY, tags=_tags_of_band)
def first_in_band(field: str, band: int, country: str, order: str) -> tuple[str, ...]:
    """Return the codes of the first airports in a band of heights or latitudes."""
    airports = Airport.objects.filter(**bands.bounds(field, band))
    if country:
        airports = airports.filter(country=country)
    return tuple(airports.order_by(order, "icao").values_list("icao", flat=True)[:RECORDS])


@cached(timeout=DAY, tags=searching.tags_of_search)
def codes_found(text: str) -> tuple[str, ...]:
    """Return the codes of the airports that a search of the API finds; of all, if for nothing."""
    airports = Airport.objects.filter(searching.matching(text)) if text else Airport.objects.all()
    return tuple(airports.order_by("icao").values_list("icao", flat=True))


def search(text: str) -> tuple[AirportLine, ...]:
    """Return airports by code, name or city. Not cached: hardly any two visitors ask the same."""
    is_code = Q(icao__iexact=text) | Q(iata__iexact=text)
    airports = (
        Airport.objects.filter(is_code | Q(name__icontains=text) | Q(city__icontains=text))
        # Those with an IATA code are the ones that people fly to.
        .annotate(is_code=is_code, is_minor=Q(iata=""))
        .order_by("-is_code", "is_minor", "name", "icao")
    )
    return tuple(AirportLine(*row) for row in airports.values_list(*_LINE)[:PAGE_SIZE])
