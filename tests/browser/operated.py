"""A site that has been in operation: rows, readers, writers, an outage, and what operators did."""

import time
from math import sin
from typing import Final
from unittest import mock

import pytest
from django.test import Client, override_settings

from cache_invalidation import invalidate
from cache_invalidation.metrics.counters import counters
from cache_invalidation.models import AuditEntry, PendingInvalidation
from cache_invalidation.operations.actions import Request
from cache_invalidation.operations.actions import invalidate as invalidate_by_hand
from cache_invalidation.operations.audit import Operator
from cache_invalidation.stores import get_store
from example_project import settings as example_settings
from example_project.airports.models import Airport, Country
from example_project.airports.queries import countries

COUNTRIES: Final = "example_project.airports.queries.countries"
LONG: Final = "page:shop.catalogue.seasonal.views.recommendations_for_returning_customers"
DROPPED: Final = "airports-per-country"
LONG_ROUTE: Final = "admin/airports/airport/<path:object_id>/change/"


@pytest.fixture
def airport(tables: None) -> Airport:
    """One that was edited, of a country whose page was read, in a busy site."""
    country = Country.objects.create(code="CH", name="Switzerland")
    airport = Airport.objects.create(
        icao="LSZH",
        name="Zurich Airport",
        city="Zurich",
        country=country,
        elevation_ft=1416,
        latitude=47.46,
        longitude=8.55,
        timezone="Europe/Zurich",
    )
    for _ in range(3):
        countries()
        airport.save()
    for _ in range(7):
        countries()
    visit(airport)
    invalidate(tags=["homepage"], keys=["menu"], patterns=["menu:*"])
    return airport


def visit(airport: Airport) -> None:
    """Look at pages of the example site, so that there is more than functions to be seen."""
    with override_settings(
        ROOT_URLCONF="example_project.urls", MIDDLEWARE=example_settings.MIDDLEWARE
    ):
        for address in ("/", f"/airports/{airport.icao}/"):
            for _ in range(3):
                assert Client(SERVER_NAME="localhost").get(address).status_code == 200


@pytest.fixture
def history(tables: None) -> None:
    """The hour before: readers and writers come and go, and at one time the cache was away."""
    now = time.time()
    for minute in range(1, 60):
        wave = 1 + sin(minute / 7)
        counts = {
            "hits": int(300 * wave + 40),
            "misses": int(30 * wave) + (80 if 20 < minute < 26 else 5),
            "invalidations:airport": int(9 * wave),
            "invalidations:country": minute % 5,
            "latency:0.002": int(8 * wave) + 1,
            "latency:0.01": 1 + minute % 2,
            "failed": 2 if minute == 23 else 0,
            # What waited in the outbox until the cache was back.
            "latency:3600": 40 if minute == 22 else 0,
            "missed:shop.prices:invalidated": int(20 * wave),
            "near:shop.menu": int(200 * wave),
            "waits:airport": int(3 * wave),
            "waited_us:airport": int(4000 * wave),
            "missed:shop.prices:expired": 5,
        }
        with mock.patch.object(time, "time", return_value=now - 60 * minute):
            get_store().count(counts, [])


@pytest.fixture
def waiting(tables: None) -> PendingInvalidation:
    return PendingInvalidation.objects.create(
        targets={"tags": ["shop:1"], "entries": [], "keys": [], "patterns": []},
        entities={"shop": 1},
        entity_type="shop",
        cause="save",
        attempts=3,
        last_error=f"Connection refused {'by 10.0.0.7:6379 ' * 9}",
    )


@pytest.fixture
def judged(airport: Airport) -> None:
    """Figures of a function that expires too early, and of a page, with a long name, that is not
    stored: there is advice on both."""
    counters.update({f"hits:{COUNTRIES}": 900, f"misses:{COUNTRIES}": 300})
    counters.update({f"missed:{COUNTRIES}:expired": 290, f"missed:{COUNTRIES}:invalidated": 10})
    counters.detail({("took", COUNTRIES, "0.2"): 300, ("microseconds", COUNTRIES): 50_000_000})
    counters.update({f"near:{COUNTRIES}": 700, f"waits_for:{COUNTRIES}": 9})
    counters.update({f"waited_for_us:{COUNTRIES}": 14_000})
    counters.update({f"hits:{LONG}": 10, f"misses:{LONG}": 400, f"unstored:{LONG}:set-cookie": 390})
    counters.update({f"missed:{LONG}:not_stored": 390, f"missed:{LONG}:new": 10})
    counters.detail({("took", LONG, "0.5"): 400, ("microseconds", LONG): 180_000_000})
    counters.detail({("fills", COUNTRIES): 300, ("bytes", COUNTRIES): 900_000})
    counters.detail({("sampled", COUNTRIES): 38, ("first_hits", COUNTRIES): 35})
    counters.detail({("dropped", COUNTRIES, DROPPED): 10, ("equal_after", COUNTRIES, DROPPED): 7})
    counters.detail({("compared", COUNTRIES): 10, ("equal", COUNTRIES): 7})
    counters.detail({("write", DROPPED, "airport", "update", LONG_ROUTE): 1204})
    counters.flush()


@pytest.fixture
def logged(tables: None) -> AuditEntry:
    """What somebody has invalidated by hand, of which there was a lot to say."""
    operator = Operator(
        name="operator", key="1", origin=AuditEntry.Origin.ADMIN, address="203.0.113.7"
    )
    tags = [f"shop.product:{number}" for number in range(40)]
    reason = (
        "The importer of the supplier wrote prices by COPY, past Django, from 02:10 to 02:40. " * 3
    )
    invalidate_by_hand(Request(tags=tags), operator, reason=reason)
    return AuditEntry.objects.latest("pk")
