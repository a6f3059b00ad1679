"""What the pages have in common, and how they say what came of something."""

import re

import pytest
from django.contrib import messages

from cache_invalidation.admin.outcomes import LEVELS, describe
from cache_invalidation.models import AuditEntry
from tests.admin.conftest import APP, page, send

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])


def trail(text):
    """Return the links and names at the top of the page, down to its own."""
    found = text.partition('<ol class="breadcrumbs">')[2].partition("</ol>")[0]
    return re.findall(r"<li[^>]*>(?:<a href=\"([^\"]*)\">)?([^<]*)", found)


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("dashboard/", "Cache dashboard"),
        ("registry/", "What depends on what"),
        ("advice/", "What to change"),
        ("invalidate/", "Invalidate the cache"),
    ],
)
def test_the_way_to_a_page_is_that_of_the_lists(client, path, title):
    above = [("/admin/", "Home"), (APP, "Cache invalidation")]
    assert trail(page(client, path)) == [*above, ("", title)]


def test_the_way_to_an_inner_page_leads_over_its_page(client, waiting):
    assert trail(page(client, "dashboard/reset/"))[2:] == [
        (f"{APP}dashboard/", "Dashboard"),
        ("", "Reset the metrics"),
    ]
    row, path = waiting("a"), "pendinginvalidation/"
    text = send(client, path, action="discard", _selected_action=[row.pk])
    assert trail(text)[2:] == [(f"{APP}{path}", "Pending invalidations"), ("", "Delete")]


@pytest.mark.parametrize(
    ("path", "name"),
    [("auditentry/", "Audit log"), ("pendinginvalidation/", "Pending invalidations")],
)
def test_a_list_is_called_as_in_the_menu(client, path, name):
    assert f"<h1>{name}</h1>" in page(client, path)


def test_every_result_is_told_in_its_own_way():
    assert set(LEVELS) == set(AuditEntry.Result)
    assert len(set(map(describe, AuditEntry.Result))) == len(AuditEntry.Result)


def test_a_result_that_is_no_success_does_not_look_like_one():
    assert {r for r in LEVELS if LEVELS[r] == messages.SUCCESS} == {AuditEntry.Result.DONE}


def test_no_more_is_promised_than_holds():
    assert "processes that have noticed the outage" in describe("pending")
    assert "plain keys stay" in describe("failed")
    assert "under way" in describe("started")
