"""Everything that an operator can click on."""

from collections import Counter

import pytest

from tests.browser.looking import LOOKS
from tests.browser.operated import COUNTRIES

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"]),
    pytest.mark.slow,
]

APP = "/admin/cache_invalidation/"

looks = pytest.mark.parametrize("look", LOOKS, ids=str)


@looks
def test_a_superuser_clicks_through_the_dashboard(window, history, airport, waiting):
    window.go("/admin/")
    window.click("link", "Cache invalidation")
    window.inspect_in_both_themes("index")
    window.click("link", "Dashboard")
    assert window.find(".uplot canvas").count() == 5
    window.inspect_in_both_themes("dashboard")
    window.publish("dashboard")
    text = window.text()
    assert "Working" in text
    assert "queries.countries" in text

    window.page.get_by_text("Table: Hit rate").click()
    assert "\t382\t39\t0" in window.find("details[open] table").inner_text()
    window.click("link", "Last day")
    assert window.find(".uplot canvas").count() == 5
    window.click("link", "Reset the metrics…")
    window.inspect_in_both_themes("reset")
    window.click("link", "No, take me back")
    assert "queries.countries" in window.text()
    window.click("link", "Reset the metrics…")
    window.page.get_by_label("Reason").fill("a new beginning")
    window.click("button", "Reset the metrics")
    assert "All counters are zero" in window.find(".messagelist").inner_text()
    assert "queries.countries" not in window.text()


# What is written into a canvas, and what of that begins to the left of it.
WRITTEN = """
    window.written = [];
    window.cut = [];
    const fill = CanvasRenderingContext2D.prototype.fillText;
    CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
        const wide = this.measureText(text).width;
        const all = { left: 0, start: 0, center: wide / 2, right: wide, end: wide };
        const before = all[this.textAlign];
        const left = this.getTransform().transformPoint({ x, y }).x - before;
        (left < 0 ? window.cut : window.written).push(text);
        fill.apply(this, arguments);
    };
"""


@looks
def test_no_label_of_a_chart_is_cut_off_after_an_outage(window, history):
    window.context.add_init_script(WRITTEN)
    window.go(f"{APP}dashboard/")
    assert window.page.evaluate("cut") == []
    written = window.page.evaluate("written")
    # One delivery that took an hour must not flatten those of a millisecond.
    assert any(label.endswith(" h") for label in written)
    assert any(label.endswith(" ms") for label in written)


@looks
def test_no_number_stands_alone_in_a_row(window, history, airport):
    addresses = (f"{APP}dashboard/", f"{APP}registry/name/?name={COUNTRIES}")
    for address in addresses:
        window.go(address)
        for tiles in window.find(".ci-tiles").all():
            boxes = [tile.bounding_box() for tile in tiles.locator(".ci-tile").all()]
            rows = Counter(box["y"] for box in boxes if box)
            assert len(set(rows.values())) == 1, (address, rows)


@looks
def test_a_superuser_goes_from_a_function_to_a_tag_and_a_model_and_back(window, judged):
    window.go(f"{APP}dashboard/")
    window.page.get_by_role("link", name=COUNTRIES, exact=True).first.click()
    window.inspect_in_both_themes("function")
    window.publish("function")
    assert "airports-per-country" in window.text()
    window.page.get_by_role("link", name="airports-per-country", exact=True).first.click()
    window.inspect_in_both_themes("tag")
    assert "AirportInvalidation" in window.text()
    window.click("link", "airports.airport")
    model = window.find("section.ci-model").first
    assert model.locator("h2").inner_text() == "airports.airport"
    model.get_by_role("link", name="airports-per-country", exact=True).click()
    window.click("link", COUNTRIES)
    window.click("link", "Invalidate…")
    assert window.page.get_by_label("Functions, pages and blocks").input_value() == COUNTRIES


@looks
def test_rows_are_lists_where_there_is_no_room_for_columns(window, history, airport):
    window.go(f"{APP}dashboard/")
    for table in window.find("table").filter(visible=True).all():
        place, frame = table.bounding_box(), table.locator("xpath=..").bounding_box()
        assert place is not None
        assert frame is not None
        assert place["width"] <= frame["width"] + 1, table.inner_text()
    window.go(f"{APP}registry/")
    drawing = window.find(".ci-drawing")
    assert drawing.is_visible() == (window.look.width > 767)
    if drawing.is_visible():
        assert drawing.evaluate("(box) => box.scrollWidth <= box.clientWidth")


@looks
def test_nothing_of_what_waits_or_was_done_is_out_of_sight(window, waiting, logged):
    for path in ("pendinginvalidation/", "auditentry/"):
        window.go(f"{APP}{path}")
        cells = window.find("#result_list tbody").locator("td, th").all()
        assert len(cells) >= 6
        for cell in cells:
            box = cell.bounding_box()
            assert box
            assert box["x"] + box["width"] <= window.look.width, cell.inner_text()


@looks
def test_a_row_of_the_outbox_is_delivered_from_its_page(window, waiting):
    window.go(f"{APP}pendinginvalidation/{waiting.pk}/change/")
    window.click("button", "Deliver now…")
    window.page.get_by_label("Reason").fill("the cache is back")
    window.click("button", "Deliver now")
    assert "1 invalidation was delivered" in window.find(".messagelist").inner_text()


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
    assert "airports-of:CH" in window.text()
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
def test_a_superuser_goes_from_the_advice_to_what_it_is_on(window, judged):
    window.go(f"{APP}dashboard/")
    window.click("link", "See the advice")
    window.click("link", COUNTRIES)
    assert window.find("h1").inner_text() == COUNTRIES


@looks
def test_a_superuser_empties_the_outbox(window, waiting):
    window.go(APP)
    window.click("link", "Pending invalidations")
    window.inspect("outbox")
    window.find("th.field-shown_created a").click()
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
    said = window.find(".messagelist").inner_text()
    assert "airports-of:CH" in said
    window.photograph("change-page-after")
    window.go("/admin/airports/airport/")
    window.find("input.action-select").check()
    window.find("select[name=action]").select_option("invalidate_cache")
    window.find(".actions button[type=submit]").click()
    assert "It was invalidated." in window.find(".messagelist").inner_text()
    window.go(f"{APP}dashboard/")
    window.photograph("dashboard")
    assert f"/admin/airports/airport/{airport.pk}/invalidate-cache/" in window.text()
