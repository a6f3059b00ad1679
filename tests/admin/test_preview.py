"""What is said of an invalidation before it happens, beyond its targets."""

import re

import pytest

from cache_invalidation.stores import get_store
from tests.admin.conftest import APP, send
from tests.testapp.matrix import Shelf

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])


def test_a_preview_says_what_may_become_stale(client):
    learned = {"page:shop.views.cart": ["testapp.product:*"], "page:other": ["testapp.tag"]}
    get_store().count({}, learned=learned)
    text = send(client, "invalidate/", preview="1", tags="testapp.product:3")
    assert "What may become stale" in text
    assert ">page:shop.views.cart</a>" in text
    assert "page:other" not in text
    assert "What may become stale" not in send(client, "invalidate/", preview="1", keys="menu")


def test_a_row_that_is_not_there_is_said_to_be_missing(client):
    there = Shelf.objects.create()
    rows = f"testapp.shelf:{there.pk}\ntestapp.shelf:99999\ntestapp.shelf"
    text = send(client, "invalidate/", preview="1", entities=rows)
    missing = text.partition("These rows are not there")[2].partition("</div>")[0]
    assert re.findall("<code>(.*?)</code>", missing) == ["testapp.shelf:99999"]
    text = send(client, "invalidate/", preview="1", entities=f"testapp.shelf:{there.pk}")
    assert "These rows are not there" not in text


def test_the_tags_of_a_preview_lead_to_those_who_read_them(client, as_user):
    link = f'href="{APP}registry/tag/?tag=homepage"'
    assert link in send(client, "invalidate/", preview="1", tags="homepage")
    assert link in send(client, "invalidate/", confirm="1", tags="homepage")
    blind = as_user("invalidate_cache")
    assert "registry/tag/" not in send(blind, "invalidate/", preview="1", tags="homepage")


def test_a_preview_works_during_an_outage(client, down):
    assert "<code>page:x</code>" in send(client, "invalidate/", preview="1", tags="page:x")


def test_a_tag_that_nothing_depends_on_is_said_to_be_one_before_and_after(client):
    question = "Is one of them misspelled?"
    assert question in send(client, "invalidate/", tags="no.such:3", preview="1")
    assert question in send(client, "invalidate/", tags="no.such:3", confirm="1")
