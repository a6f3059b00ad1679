"""Each permission opens its pages, and no others, to a user of the staff."""

import pytest

from tests.browser.looking import LOOKS

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"]),
    pytest.mark.slow,
]

APP = "/admin/cache_invalidation/"
PAGES = ["Advice", "Audit log", "Dashboard", "Invalidate", "Pending invalidations", "Registry"]
SEGMENTS = ["advice", "auditentry", "dashboard", "invalidate", "pendinginvalidation", "registry"]

SEEN = {
    "view_metrics": ["Advice", "Audit log", "Dashboard", "Pending invalidations", "Registry"],
    "invalidate_cache": ["Invalidate"],
    "reset_metrics": ["Dashboard"],
}

looks = pytest.mark.parametrize("look", LOOKS, ids=str)


def having(*permissions: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("permissions", [permissions], ids=[",".join(permissions)])


@looks
@pytest.mark.parametrize("permissions", [(name,) for name in SEEN], ids=SEEN)
def test_a_permission_opens_its_pages(window, permissions):
    window.go("/admin/")
    found = window.find("#content th[scope=row] a").all_inner_texts()
    assert found == SEEN[permissions[0]]
    for page in found:
        window.go(APP)
        window.page.locator("#content").get_by_role("link", name=page, exact=True).click()
        window.photograph(page.lower())
    for page, segment in zip(PAGES, SEGMENTS, strict=True):
        assert window.status(f"{APP}{segment}/") == (200 if page in found else 403)


@looks
@having()
def test_without_a_permission_there_is_nothing(window):
    window.go("/admin/")
    window.inspect("index")
    assert "invalidation" not in window.page.locator("body").inner_text().lower()
    for segment in SEGMENTS:
        assert window.status(f"{APP}{segment}/") == 403


@having("reset_metrics")
def test_whoever_may_reset_the_counters_does_so_without_seeing_them(window):
    window.go(f"{APP}dashboard/")
    window.inspect("dashboard")
    assert window.find("#ci-dashboard").count() == 0
    window.click("link", "Reset the metrics…")
    window.click("button", "Reset the metrics")
    assert "All counters are zero" in window.find(".messagelist").inner_text()


@having("invalidate_cache")
def test_whoever_may_only_invalidate_sees_what_came_of_it(window):
    window.go(f"{APP}invalidate/")
    window.page.get_by_label("Tags").fill("homepage")
    window.click("button", "Preview")
    window.click("button", "Invalidate")
    assert "It was invalidated." in window.text()
    assert window.page.get_by_role("link", name="Entry in the audit log").count() == 0
