"""Every page, in both themes, where there is room and on a telephone.

In all four combinations with `EVERY_LOOK=1` in the environment.
"""

import os

import pytest

from tests.browser.looking import Look
from tests.browser.operated import COUNTRIES, LONG

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"]),
    pytest.mark.slow,
]

APP = "/admin/cache_invalidation/"
LOOKS = [Look("light", 1280), Look("dark", 390)]
if "EVERY_LOOK" in os.environ:
    LOOKS += [Look("light", 390), Look("dark", 1280)]

looks = pytest.mark.parametrize("look", LOOKS, ids=str)

PAGES = {
    "index": "",
    "dashboard": "dashboard/",
    "dashboard-day": "dashboard/?period=day",
    "reset": "dashboard/reset/",
    "advice": "advice/",
    "registry": "registry/",
    "registry-model": "registry/?q=airports.airport",
    "registry-nothing": "registry/?q=no-such-thing",
    "function": f"registry/name/?name={COUNTRIES}",
    "page": f"registry/name/?name={LONG}",
    "tag": "registry/tag/?tag=airports-per-country",
    "tag-unknown": "registry/tag/?tag=airport-per-country",
    "invalidate": "invalidate/",
    "outbox": "pendinginvalidation/",
    "outbox-nothing": "pendinginvalidation/?using=other",
    "audit": "auditentry/",
}


@looks
def test_it_can_be_read_and_used(window, history, judged, waiting, logged):
    rows = {
        "outbox-row": f"pendinginvalidation/{waiting.pk}/change/",
        "audit-row": f"auditentry/{logged.pk}/change/",
        "result": f"invalidate/{logged.pk}/",
    }
    for name, path in (PAGES | rows).items():
        assert window.go(f"{APP}{path}") == 200, name
        window.inspect(name)
        if (
            window.look.width < 768
        ):  # Otherwise the menu is beside the page, and not beside the way.
            way = window.find(".breadcrumbs a").first.bounding_box()
            assert way["x"] == window.find("h1").last.bounding_box()["x"], name


@looks
def test_so_can_what_follows_a_form(window, judged, waiting, airport):
    window.go(f"{APP}invalidate/")
    window.click("button", "Preview")
    window.inspect("invalidate-empty")
    window.page.get_by_label("Entities").fill("airports.airprot:3\nairports.airport:99999")
    window.page.get_by_label("Functions, pages and blocks").fill("countrys")
    window.page.get_by_label("Patterns").fill("*")
    window.click("button", "Preview")
    window.inspect("invalidate-wrong")
    window.page.get_by_label("Entities").fill(f"airports.airport:{airport.pk}")
    window.page.get_by_label("Functions, pages and blocks").fill(COUNTRIES)
    window.page.get_by_label("Tags").fill("airport-per-country\nairports-per-country")
    window.page.get_by_label("Patterns").fill("")
    window.click("button", "Preview")
    window.inspect("preview")
    window.click("button", "Invalidate")
    window.inspect("result")
    window.go(f"{APP}pendinginvalidation/")
    window.find("input.action-select").check()
    window.find("select[name=action]").select_option("retry")
    window.find(".actions button[type=submit]").click()
    window.inspect("deliver")
    window.click("button", "Deliver now")
    window.inspect("delivered")
    window.go(f"/admin/airports/airport/{airport.pk}/change/")
    window.inspect("change")
    window.click("button", "Invalidate cache")
    window.inspect("changed")
