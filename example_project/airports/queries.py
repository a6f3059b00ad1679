"""What the pages show.

The pages are cached, and find out what is read here. What several of them need is cached on its own
as well.

They return plain values instead of model instances: small to store, and nothing that a template
does with them can run a query behind the cache's back.
"""

import heapq

from django.db.models import Avg, Count, Q, QuerySet

from cache_invalidation import cached
from example_project.airports import geo
from example_project.airports.models import Airport, Country
from example_project.airports.search_area import RADII_KM, tags_of_search
from example_project.airports.values import (
    AirportDetail,
    AirportLine,
    CountryLine,
    CountryStatistics,
    Neighbour,
    Place,
    Records,
)

# Seconds. Entries go because what they show has changed; this only clears away unread ones.
DAY = 24 * 60 * 60

PAGE_SIZE = 100
NEAREST = 10
RECORDS = 10

_LINE = ("icao", "iata", "name", "city", "subdivision", "country_id", "elevation_ft")
_DETAIL = (*_LINE, "country__name", "latitude", "longitude", "timezone")


# Found out, it would depend on all that there is about any airport.
@cached(timeout=DAY, tags=[Country, "airports-per-country"])
def countries() -> tuple[CountryLine, ...]:
    """Return the countries that have airports, by name."""
    counted = Country.objects.annotate(count=Count("airports")).filter(count__gt=0)
    return tuple(
        CountryLine(*row) for row in counted.order_by("name").values_list("code", "name", "count")
    )


def country_statistics(code: str) -> CountryStatistics | None:
    """Return the figures of one country, or None if there is no such country."""
    country = Country.objects.filter(code=code).first()
    if country is None:
        return None
    airports = country.airports.order_by("elevation_ft", "icao")
    subdivisions = (
        country.airports.exclude(subdivision="")
        .values_list("subdivision")
        .annotate(count=Count("pk"))
        .order_by("-count", "subdivision")
    )
    lowest, highest = airports.values_list(*_LINE).first(), airports.values_list(*_LINE).last()
    return CountryStatistics(
        code=code,
        name=country.name,
        highest=AirportLine(*highest) if highest else None,
        lowest=AirportLine(*lowest) if lowest else None,
        subdivisions=tuple((name, count) for name, count in subdivisions),
        **country.airports.aggregate(
            airports=Count("pk"),
            with_iata=Count("pk", filter=~Q(iata="")),
            timezones=Count("timezone", distinct=True),
            mean_elevation_ft=Avg("elevation_ft"),
        ),
    )


def country_airports(code: str, page: int) -> tuple[AirportLine, ...]:
    """Return one page of a country's airports, by name; pages count from 1."""
    start = (page - 1) * PAGE_SIZE
    rows = Airport.objects.filter(country=code).values_list(*_LINE)[start : start + PAGE_SIZE]
    return tuple(AirportLine(*row) for row in rows)


def airport(icao: str) -> AirportDetail | None:
    """Return one airport, or None if there is none with this code."""
    row = Airport.objects.filter(icao=icao).first()
    if row is None:
        return None
    # The country in a query of its own: the page depends on this one, and through a join on all.
    line = [getattr(row, name) for name in _LINE]
    detail = [*line, row.country.name, row.latitude, row.longitude, row.timezone]
    return AirportDetail(*detail)


def nearest(place: AirportDetail) -> tuple[Neighbour, ...]:
    """Return the airports nearest to `place`, nearest first, without itself."""
    for radius_km in RADII_KM:
        found = nearest_within(place.latitude, place.longitude, radius_km)
        # An airport finds itself as well, so one more has to be there.
        if len(found) > NEAREST:
            break
    else:
        found = nearest_on_earth(place.latitude, place.longitude)
    places = [each for each in found if each.icao != place.icao][:NEAREST]
    # Only where they are is cached by tags; what they are called, the page finds out.
    codes = [each.icao for each in places]
    rows = Airport.objects.filter(icao__in=codes).values_list("icao", "iata", "name", "country_id")
    named = {row[0]: row for row in rows}
    return tuple(
        Neighbour(*named[each.icao], each.distance_km, each.direction)
        for each in places
        if each.icao in named
    )


# A search by latitude and longitude would depend on the whole table, and so would each page of an
# airport: no query shows that what is far away does not count.
@cached(timeout=DAY, tags=tags_of_search)
def nearest_within(latitude: float, longitude: float, radius_km: int) -> tuple[Place, ...]:
    """Return where the airports nearest to a point are, those within `radius_km` of it only."""
    box = geo.box_around((latitude, longitude), radius_km)
    in_span = Q()
    for span in box.spans:
        in_span |= Q(longitude__range=span)
    # The box is what an index can find. Its corners are outside of the circle, and an airport
    # there may be farther away than one which is just outside of the box.
    candidates = Airport.objects.filter(in_span, latitude__range=(box.south, box.north))
    return tuple(
        place
        for place in _nearest_of(candidates, latitude, longitude)
        if place.distance_km <= radius_km
    )


@cached(timeout=DAY)
def nearest_on_earth(latitude: float, longitude: float) -> tuple[Place, ...]:
    """Return where the airports nearest to a point are, however far; for the emptiest places."""
    return tuple(_nearest_of(Airport.objects.all(), latitude, longitude))


def records() -> Records:
    """Return the airports and countries that stand out."""
    airports = Airport.objects.all()
    return Records(
        highest=_details(airports.order_by("-elevation_ft", "icao")),
        lowest=_details(airports.order_by("elevation_ft", "icao")),
        northernmost=_details(airports.order_by("-latitude", "icao")),
        southernmost=_details(airports.order_by("latitude", "icao")),
        most_airports=tuple(heapq.nlargest(RECORDS, countries(), key=lambda line: line.airports)),
    )


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


def _nearest_of(airports: QuerySet[Airport], latitude: float, longitude: float) -> list[Place]:
    here = (latitude, longitude)
    columns = airports.values_list("latitude", "longitude", "icao")
    distances = ((geo.distance_km(here, row[:2]), row) for row in columns.order_by())
    return [
        Place(row[2], distance, geo.direction(here, row[:2]))
        for distance, row in heapq.nsmallest(NEAREST + 1, distances)
    ]


def _details(airports: QuerySet[Airport]) -> tuple[AirportDetail, ...]:
    return tuple(AirportDetail(*row) for row in airports.values_list(*_DETAIL)[:RECORDS])
