"""Bringing the airports of the `airportsdata` package into the database."""

import csv
from collections.abc import Callable, Collection, Iterable, Iterator
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
    known = {airport.icao: airport for airport in Airport.objects.iterator()}
    new, different = [], []
    unchanged = 0
    for airport in airports:
        before = known.get(airport.icao)
        if before is None:
            new.append(airport)
        elif _content(before) == _content(airport):
            unchanged += 1
        else:
            airport.pk = before.pk
            different.append(airport)
    progress(unchanged)
    # By their keys, and not `bulk_create(update_conflicts=True)`: that says of no row whether it is
    # written, so everything would be dropped that depends on any airport.
    for batch in _batches(different):
        Airport.objects.bulk_update(batch, FIELDS)
        progress(len(batch))
    for batch in _batches(new):
        Airport.objects.bulk_create(batch)
        progress(len(batch))
    return len(new) + len(different)


def _batches(airports: list[Airport]) -> Iterator[list[Airport]]:
    for start in range(0, len(airports), BATCH):
        yield airports[start : start + BATCH]
