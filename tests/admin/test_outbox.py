"""Looking at what waits, delivering it, and giving it up."""

from datetime import UTC, datetime
from unittest import mock

import pytest
from django.db import OperationalError, connections
from django.utils import timezone

from cache_invalidation import models
from cache_invalidation.admin import outbox
from cache_invalidation.delivery.outbox import draining
from cache_invalidation.models import AuditEntry, PendingInvalidation
from tests.admin.conftest import APP, last_entry, page, send
from tests.delivered import delivered

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])

LIST = "pendinginvalidation/"


def act(client, action, *rows, path=LIST, **data):
    return send(client, path, action=action, _selected_action=[row.pk for row in rows], **data)


def test_rows_are_listed_with_what_went_wrong(client, waiting):
    waiting("a", entity_type="shop", cause="update", attempts=3, last_error="Connection refused")
    text = page(client, LIST)
    for shown in ("shop", "update", "3", "Connection refused"):
        assert shown in text


def test_the_name_of_a_row_has_the_time_of_whoever_looks(waiting):
    row = waiting("a", cause="update", created=datetime(2030, 1, 1, 23, 30, tzinfo=UTC))
    with timezone.override("Asia/Tokyo"):
        assert str(row) == "shop (update) of Jan. 2, 2030, 8:30 a.m."


def test_the_page_of_a_row_has_its_targets(client, waiting):
    row = waiting("a", "b<c", last_error="x" * 100)
    text = page(client, f"{LIST}{row.pk}/change/")
    assert "<code>b&lt;c</code>" in text
    assert "x" * 100 in text


def test_the_page_of_a_row_offers_what_the_list_does(client, as_user, waiting):
    row = waiting("a", using="other")
    text = page(client, f"{LIST}{row.pk}/change/?_changelist_filters=using%3Dother")
    form = f'<form method="post" action="{APP}{LIST}?using=other"'
    assert text.count(form) == 2
    assert f'name="_selected_action" value="{row.pk}"' in text
    said = send(client, f"{LIST}?using=other", action="retry", _selected_action=row.pk)
    assert "1 invalidation waits on the database “other”" in said
    looking = as_user("view_metrics")
    assert form not in page(looking, f"{LIST}{row.pk}/change/?_changelist_filters=using%3Dother")


def test_each_database_has_its_own_list(client, waiting):
    waiting("a", cause="in default")
    row = waiting("b", using="other", cause="in other")
    text = page(client, LIST)
    assert "in default" in text
    assert "in other" not in text
    assert "other (1)" in text
    assert "in other" in page(client, LIST, using="other")
    assert "in default" in page(client, LIST, using="nonsense")
    row_of_list = f"{LIST}{row.pk}/change/?_changelist_filters=using%3Dother"
    assert "in other" in page(client, row_of_list)


@pytest.fixture
def dead(waiting, client):
    """Return a block in which a database, which has answered before, does not."""

    def dead(alias):
        page(client, LIST, using=alias)
        error = OperationalError("down")
        return mock.patch.object(connections[alias], "cursor", side_effect=error)

    return dead


def test_a_database_that_does_not_answer_leaves_the_list_of_others(client, waiting, dead):
    waiting("a", cause="in default")
    with dead("other"):
        text = page(client, LIST)
    assert "in default" in text
    assert "other (does not answer)" in text
    assert "default (1)" in text


def test_the_list_of_a_database_that_does_not_answer_says_so(client, waiting, dead):
    waiting("a", cause="in default")
    row = waiting("b", using="other")
    with dead("other"):
        texts = [
            page(client, LIST, using="other"),
            page(client, f"{LIST}{row.pk}/change/?_changelist_filters=using%3Dother"),
        ]
    for text in texts:
        assert "The database “other” does not answer" in text
        assert f'<a href="{APP}{LIST}?using=default">default</a> (1)' in text
        assert "in default" not in text


@pytest.mark.parametrize("action", ["retry", "discard"])
def test_rows_of_another_database_are_not_taken_for_those_of_a_dead_one(
    client, waiting, dead, action
):
    row = waiting("a")
    with dead("other"), delivered() as found:
        text = act(client, action, row, path=f"{LIST}?using=other", confirm="1")
    assert "does not answer" in text
    assert found == []
    assert PendingInvalidation.objects.get() == row
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("policy", "said"), [("ignore", "none is needed"), ("outbox", "the command migrate makes it")]
)
def test_without_the_table_the_page_says_what_that_means(
    client, settings, monkeypatch, policy, said
):
    settings.CACHE_INVALIDATION = {"ON_STORE_FAILURE": policy, "METRICS_FLUSH_INTERVAL": 3600}
    monkeypatch.setattr(models, "has_outbox", lambda connection: connection.alias == "sqlite")
    text = page(client, LIST)
    assert "There is no outbox on the database “default”" in text
    assert said in text
    assert "?using=sqlite" in text
    assert "?using=other" not in text


def test_why_there_is_no_outbox_is_for_those_who_may_see_it(as_user, monkeypatch):
    monkeypatch.setattr(models, "has_outbox", lambda connection: False)
    page(as_user("invalidate_cache"), LIST, status=403)


@pytest.mark.parametrize("action", ["retry", "discard"])
def test_nothing_happens_before_it_is_confirmed(client, waiting, action):
    row = waiting("a", cause="to be seen")
    with delivered() as found:
        text = act(client, action, row)
    assert "to be seen" in text
    assert 'name="confirm"' in text
    assert found == []
    assert PendingInvalidation.objects.count() == 1
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("using", ["default", "other", "sqlite"])
def test_selected_rows_are_delivered(client, waiting, using):
    chosen = waiting("a", using=using)
    with delivered() as found:
        text = act(client, "retry", chosen, path=f"{LIST}?using={using}", confirm="1", reason="now")
    assert "1 invalidation was delivered" in text
    assert found.tags == {"a"}
    assert not PendingInvalidation.objects.using(using).exists()
    entry = last_entry()
    assert (entry.action, entry.origin, entry.result) == ("retry", "admin", "done")
    assert (entry.reason, entry.targets["using"]) == ("now", using)


def test_selected_rows_are_deleted_undelivered(client, waiting):
    chosen, other = waiting("a"), waiting("b")
    with delivered() as found:
        text = act(client, "discard", chosen, confirm="1")
    assert "1 invalidation was deleted" in text
    assert found == []
    assert PendingInvalidation.objects.get() == other
    entry = last_entry()
    assert entry.action == "discard"
    assert entry.detail["discarded"][0]["tags"] == ["a"]


def test_all_rows_can_be_chosen_at_once(client, waiting, monkeypatch):
    monkeypatch.setattr(draining, "BATCH", 2)
    rows = [waiting(str(number)) for number in range(5)]
    text = act(client, "retry", *rows, select_across="1")
    assert "5 invalidations wait" in text
    assert 'name="select_across" value="1"' in text
    assert text.count('name="_selected_action"') == 1
    text = act(client, "retry", rows[0], select_across="1", confirm="1")
    assert "5 invalidations were delivered" in text


@pytest.mark.parametrize("action", ["retry", "discard"])
def test_only_so_many_are_acted_on_at_once(client, waiting, monkeypatch, action):
    monkeypatch.setattr(outbox, "MOST", 3)
    rows = [waiting(str(number)) for number in range(5)]
    text = act(client, action, *rows, select_across="1")
    assert "3 invalidations wait" in text
    assert "2 more are selected than this can be done to at once" in text
    assert "<code>drain_invalidations</code>" in text
    act(client, action, rows[0], select_across="1", confirm="1")
    assert last_entry().targets["pks"] == [row.pk for row in rows[:3]]


def test_a_row_that_was_not_delivered_is_a_warning_with_its_error(client, waiting):
    row, good = waiting("a"), waiting("b")
    PendingInvalidation.objects.filter(pk=row.pk).update(targets={"tags": "a"})
    text = act(client, "retry", row, good, confirm="1")
    assert '<li class="success">1 invalidation was delivered.' in text
    assert '<li class="warning">1 that was selected waits on (KeyError' in text
    text = act(client, "retry", row, confirm="1")
    assert "were delivered" not in text
    assert '<li class="warning">1 that was selected waits on (KeyError' in text


def test_during_an_outage_they_wait_on(client, waiting, down):
    row = waiting("a")
    assert "The cache does not answer" in act(client, "retry", row, confirm="1")
    row.refresh_from_db()
    assert row.attempts == 1
    assert last_entry().result == "failed"


def test_without_the_permission_there_are_no_actions(as_user, waiting):
    row = waiting("a")
    client = as_user("view_metrics")
    assert 'name="action"' not in page(client, LIST)
    act(client, "discard", row, confirm="1")
    assert PendingInvalidation.objects.count() == 1
