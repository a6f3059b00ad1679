"""What a browser does without: scripts, a looser policy, a cache that answers."""

from unittest import mock

import pytest

from cache_invalidation import cached, invalidate, models
from tests.outages import down, use

__all__ = ["down", "use"]

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"]),
    pytest.mark.slow,
]

APP = "/admin/cache_invalidation/"


@cached(tags=["without"], name="without.page")
def read() -> int:
    return 1


@pytest.fixture
def busy(tables: None) -> None:
    for _ in range(4):
        read()
    invalidate(tags=["homepage"], entity_type="homepage")


def test_the_browser_says_what_the_policy_forbids(window):
    window.go(f"{APP}dashboard/")
    assert window.complaints == []
    window.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'x = 1'}))"
    )
    (complaint,) = window.complaints
    assert "Content Security Policy" in complaint
    window.complaints.clear()


@pytest.mark.parametrize("scripts", [False], ids=["without"])
def test_without_scripts_there_are_tables_and_forms(busy, window):
    window.go(f"{APP}dashboard/")
    window.photograph("dashboard")
    tables = window.find(".ci-chart table")
    assert tables.count() == 4
    assert all(table.is_visible() for table in tables.all())
    assert "75\t3\t1\t0" in tables.first.inner_text()
    assert "HOMEPAGE" in tables.nth(2).inner_text()
    assert not window.page.get_by_text("Update every 5 seconds").is_visible()

    window.click("link", "Last day")
    assert "75\t3\t1\t0" in tables.first.inner_text()
    window.go(f"{APP}registry/?q=airports.airport")
    window.photograph("registry")
    assert window.find("section.ci-model h2").all_inner_texts() == ["airports.airport"]
    window.go(f"{APP}invalidate/")
    window.page.get_by_label("Tags").fill("homepage")
    window.click("button", "Preview")
    window.click("button", "Invalidate")
    assert "It was invalidated." in window.text()


def test_without_an_outbox_there_is_the_reason_and_the_way_to_others(window):
    def has_outbox(connection):
        return connection.alias != "default"

    with mock.patch.object(models, "has_outbox", has_outbox):
        window.go(f"{APP}pendinginvalidation/")
        window.inspect("no-outbox")
        assert "There is no outbox on the database “default”" in window.text()
        window.click("link", "other")
        assert window.find("#changelist").count() == 1


def test_during_an_outage_there_is_the_state_and_the_backlog(window, down):
    window.go(f"{APP}dashboard/")
    window.inspect("dashboard")
    assert "Down" in window.find(".ci-tile.ci-bad").inner_text()
    assert "no counters to show" in window.text()
    window.go(f"{APP}registry/")
    assert "airports.airport" in window.text()

    window.go(f"{APP}invalidate/")
    window.page.get_by_label("Tags").fill("homepage")
    window.click("button", "Preview")
    window.click("button", "Invalidate")
    window.inspect("result")
    assert "waits in the outbox" in window.text()
    window.click("link", "See it in the outbox")
    assert window.find("input.action-select").count() >= 1
    window.find("#action-toggle").check()
    window.find("select[name=action]").select_option("retry")
    window.find(".actions button[type=submit]").click()
    window.click("button", "Deliver now")
    assert "The cache does not answer" in window.find(".messagelist").inner_text()
    window.go(f"{APP}dashboard/")
    assert int(window.find(".ci-tile.ci-warn strong").first.inner_text()) >= 1
