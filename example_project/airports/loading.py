"""Bringing the airports of the `airportsdata` package into the database."""

import csv
from collections.abc import Callable, Collection, Iterable
from operator import attrgetter
from pathlib import Path

import airportsdata
from django.db import transaction

from example_project.airports.models import Airport, Country

COUNTRIES = Path(__file__).with_name("data") / "countries.csv"

FIELDS = [
    "iata",
    "name",
    "city",
    "subdivision",
    "country_id",
    "elevation_ft",
    "latitude",
    "longitude",
    "timezone",
]

BATCH = 1000

_content = attrgetter(*FIELDS)


def read_countries() -> list[Country]:
    """Return the countries and territories of ISO 3166, and Kosovo; not saved."""
    with COUNTRIES.open(encoding="utf-8", newline="") as file:
        return [Country(**row) for row in csv.DictReader(file)]


def read_airports(countries: Collection[str] = ()) -> list[Airport]:
    """Return the airports of `airportsdata`, or those of `countries` by code; not saved."""
    return [
        Airport(
            icao=row["icao"],
            iata=row["iata"],
            name=row["name"],
            city=row["city"],
            subdivision=row["subd"],
            country_id=row["country"],
            elevation_ft=round(row["elevation"]),
            latitude=row["lat"],
            longitude=row["lon"],
            timezone=row["tz"],
        )
        for row in airportsdata.load("ICAO").values()
        if not countries or row["country"] in countries
    ]


# In one transaction visitors see all of it or none, and the cache is told once.
@transaction.atomic
def load(
    airports: Iterable[Airport], progress: Callable[[int], object] = lambda _count: None
) -> int:
    """Save `airports` and all countries; return how many airports were new or different.

    Those that are in the database as they are in `airports` are not written, so loading the same
    again invalidates nothing. Others are left alone. `progress` is told how many more are done.
    """
    known_countries = set(Country.objects.values_list("code", flat=True))
    new_countries = [row for row in read_countries() if row.code not in known_countries]
    Country.objects.bulk_create(new_countries)
    known = {airport.icao: _content(airport) for airport in Airport.objects.iterator()}
    different = []
    unchanged = 0
    for airport in airports:
        if known.get(airport.icao) == _content(airport):
            unchanged += 1
        else:
            different.append(airport)
    progress(unchanged)
    for start in range(0, len(different), BATCH):
        batch = different[start : start + BATCH]
        Airport.objects.bulk_create(
            batch, update_conflicts=True, unique_fields=["icao"], update_fields=FIELDS
        )
        progress(len(batch))
    return len(different)
