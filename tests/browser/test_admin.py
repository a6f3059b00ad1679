"""Everything that an operator can click on."""

import time
from math import sin
from unittest import mock

import pytest
from django.test import Client, override_settings

from cache_invalidation import invalidate
from cache_invalidation.models import PendingInvalidation
from cache_invalidation.stores import get_store
from example_project import settings as example_settings
from example_project.airports.models import Airport, Country
from example_project.airports.queries import countries
from tests.browser.looking import LOOKS

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"]),
    pytest.mark.slow,
]

APP = "/admin/cache_invalidation/"

looks = pytest.mark.parametrize("look", LOOKS, ids=str)


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
        last_error="Connection refused",
    )


@looks
def test_a_superuser_clicks_through_the_dashboard(window, history, airport, waiting):
    window.go("/admin/")
    window.click("link", "Cache invalidation")
    window.inspect_in_both_themes("index")
    window.click("link", "Dashboard")
    assert window.find(".uplot canvas").count() == 4
    window.inspect_in_both_themes("dashboard")
    window.publish("dashboard")
    text = window.text()
    assert "Working" in text
    assert "queries.countries" in text

    window.find("summary").first.click()
    assert "\t52.4\t11\t10\t0" in window.find("details[open] table").inner_text()
    window.click("link", "Last day")
    assert window.find(".uplot canvas").count() == 4
    window.click("link", "Reset the metrics…")
    window.inspect_in_both_themes("reset")
    window.click("link", "No, take me back")
    assert "queries.countries" in window.text()
    window.click("link", "Reset the metrics…")
    window.page.get_by_label("Reason").fill("a new beginning")
    window.click("button", "Reset the metrics")
    assert "All counters are zero" in window.find(".messagelist").inner_text()
    assert "queries.countries" not in window.text()


@looks
def test_a_superuser_browses_the_registry(window, airport):
    window.go(APP)
    window.click("link", "Registry")
    window.inspect_in_both_themes("registry")
    window.page.get_by_label("Search", exact=True).fill("airports.")
    window.click("button", "Search")
    window.publish("registry")
    assert window.find(".ci-drawing path").count() > 5
    assert window.find("section.ci-model").count() >= 2
    window.page.get_by_label("Search", exact=True).fill("{icao}")
    window.click("button", "Search")
    assert window.find("section.ci-model h2").all_inner_texts() == ["airports.airport"]
    window.click("link", "Invalidate every row of airports.airport…")
    assert window.page.get_by_label("Entities").input_value() == "airports.airport"


@looks
def test_a_superuser_invalidates(window, airport):
    window.go(APP)
    window.click("link", "Invalidate")
    window.inspect("invalidate")
    window.page.get_by_label("Entities").fill("no.such")
    window.click("button", "Preview")
    window.inspect("invalidate-wrong")
    assert "There is no model" in window.text()
    window.page.get_by_label("Entities").fill(f"airports.airport:{airport.pk}")
    window.page.get_by_label("Patterns").fill("menu:*")
    window.page.get_by_label("Reason").fill("repaired by SQL")
    window.click("button", "Preview")
    window.inspect("preview")
    window.publish("invalidate-preview")
    assert "country_id:CH" in window.text()
    assert "AirportInvalidation" in window.text()
    window.click("button", "Change it")
    window.page.get_by_label("Tags").fill("homepage")
    window.click("button", "Preview")
    window.click("button", "Invalidate")
    window.inspect("result")
    assert "It was invalidated." in window.text()
    window.click("link", "Entry in the audit log")
    window.inspect("audit-entry")
    assert "repaired by SQL" in window.text()
    assert "homepage" in window.text()
    window.go(APP)
    window.click("link", "Audit log")
    window.inspect("audit-log")


@looks
def test_a_superuser_empties_the_outbox(window, waiting):
    window.go(APP)
    window.click("link", "Pending invalidations")
    window.inspect("outbox")
    window.find("th.field-created a").click()
    window.inspect("outbox-row")
    assert "shop:1" in window.text()
    window.page.go_back()
    window.find("input.action-select").check()
    window.find("select[name=action]").select_option("discard")
    window.find(".actions button[type=submit]").click()
    window.inspect("outbox-delete")
    window.click("link", "No, take me back")
    window.find("input.action-select").check()
    window.find("select[name=action]").select_option("retry")
    window.find(".actions button[type=submit]").click()
    window.click("button", "Deliver now")
    assert "1 invalidation was delivered" in window.find(".messagelist").inner_text()
    assert window.find("input.action-select").count() == 0


@looks
def test_a_superuser_invalidates_a_row_on_its_page(window, airport):
    window.go(f"/admin/airports/airport/{airport.pk}/change/")
    window.photograph("change-page")
    window.click("button", "Invalidate cache")
    assert "It was invalidated." in window.find(".messagelist").inner_text()
    window.go("/admin/airports/airport/")
    window.find("input.action-select").check()
    window.find("select[name=action]").select_option("invalidate_cache")
    window.find(".actions button[type=submit]").click()
    assert "It was invalidated." in window.find(".messagelist").inner_text()
    window.go(f"{APP}dashboard/")
    window.photograph("dashboard")
    assert f"/admin/airports/airport/{airport.pk}/invalidate-cache/" in window.text()
