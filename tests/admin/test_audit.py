"""The audit log, which can only be read."""

from datetime import UTC, datetime

import pytest
from django.utils import timezone

from cache_invalidation.models import AuditEntry
from tests.admin.conftest import APP, page

pytestmark = pytest.mark.django_db(databases=["default", "other", "sqlite"])

LIST = "auditentry/"


@pytest.fixture
def entries():
    def entry(user, action="invalidate", **values):
        return AuditEntry.objects.create(
            user=user, action=action, **{"origin": "admin", "result": "done", **values}
        )

    return [
        entry("ada", targets={"tags": ["category:3", "größe"]}, reason="repaired by SQL"),
        entry("bob", "reset-metrics", origin="rest", address="10.0.0.7"),
        entry("cleo", "retry", origin="command", result="failed", detail={"error": "<down>"}),
    ]


def users(client, **query):
    text = page(client, LIST, **query)
    return {name for name in ("ada", "bob", "cleo") if f'field-user">{name}<' in text}


def test_the_newest_is_the_first(client, entries):
    text = page(client, LIST)
    places = [text.index(f'field-user">{name}<') for name in ("cleo", "bob", "ada")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"action__exact": "retry"}, {"cleo"}),
        ({"result__exact": "done"}, {"ada", "bob"}),
        ({"origin__exact": "rest"}, {"bob"}),
        ({"q": "category:3"}, {"ada"}),
        ({"q": "CATEGORY"}, {"ada"}),
        ({"q": "größe"}, {"ada"}),
        ({"q": "repaired"}, {"ada"}),
        ({"q": "10.0.0.7"}, {"bob"}),
        ({"q": "cleo"}, {"cleo"}),
        ({"q": "nothing like it"}, set()),
    ],
)
def test_it_can_be_searched(client, entries, query, found):
    assert users(client, **query) == found


def test_an_entry_tells_all_of_it(client, entries):
    text = page(client, f"{LIST}{entries[0].pk}/change/")
    for shown in ("ada", "category:3", "größe", "repaired by SQL", "Invalidate", "Done"):
        assert shown in text
    assert "&lt;down&gt;" in page(client, f"{LIST}{entries[2].pk}/change/")


def test_it_offers_nothing_to_do(as_user, entries):
    client = as_user(is_superuser=True)
    text = page(client, LIST)
    assert "action-select" not in text
    assert "addlink" not in text.partition('id="content"')[2]
    assert 'type="submit" value="Save"' not in page(client, f"{LIST}{entries[0].pk}/change/")


def test_the_list_says_what_was_done(client, entries):
    many = {"tags": [f"shop:{n}" for n in range(9)], "keys": ["menu"], "patterns": []}
    AuditEntry.objects.create(user="dan", action="invalidate", origin="rest", targets=many)
    rows = {"using": "other", "pks": [3, 5]}
    AuditEntry.objects.create(user="eve", action="retry", origin="rest", targets=rows)
    text = page(client, LIST)
    assert 'field-what">category:3, größe<' in text
    assert 'field-what">shop:0, shop:1, shop:2, shop:3 and 6 more<' in text
    assert 'field-what">2 rows on other<' in text


def test_the_list_has_the_second_for_whoever_looks(client, entries, settings):
    settings.TIME_ZONE = "Asia/Tokyo"
    AuditEntry.objects.update(when=datetime(2030, 1, 1, 23, 30, 7, tzinfo=UTC))
    assert "2030-01-02 08:30:07" in page(client, LIST)
    assert "2030-01-02 08:30:07" in page(client, f"{LIST}{entries[0].pk}/change/")


def test_the_tags_of_an_entry_lead_to_those_who_read_them(client, entries):
    text = page(client, f"{LIST}{entries[0].pk}/change/")
    assert f'href="{APP}registry/tag/?tag=category%3A3"' in text


def test_the_title_of_an_entry_has_the_time_of_whoever_looks(client, entries):
    AuditEntry.objects.update(when=datetime(2030, 1, 1, 23, 30, tzinfo=UTC))
    with timezone.override("Asia/Tokyo"):
        assert (
            str(AuditEntry.objects.get(user="ada")) == "Invalidate (ada, Jan. 2, 2030, 8:30 a.m.)"
        )


def test_without_time_zones_the_title_has_the_time_that_is_stored(settings):
    settings.USE_TZ = False
    entry = AuditEntry(user="ada", action="invalidate", when=datetime(2030, 1, 1, 8, 30))
    assert str(entry) == "Invalidate (ada, Jan. 1, 2030, 8:30 a.m.)"
