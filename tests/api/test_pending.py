"""GET cache/pending: the outbox of every database, page by page."""

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connections
from django.utils import timezone

from cache_invalidation.api.limits import MAX_PAGE, PAGE, TARGETS_SHOWN
from cache_invalidation.models import PendingInvalidation
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db(databases=["default", "other", "sqlite"])


def write(using: str, number: int = 1, **fields: Any) -> list[PendingInvalidation]:
    targets = {"tags": ["a"], "entries": [], "keys": [], "patterns": []}
    rows = [PendingInvalidation(**{"targets": targets, **fields}) for _ in range(number)]
    return PendingInvalidation.objects.using(using).bulk_create(rows)


def listed(data: Any) -> list[tuple[str, int]]:
    return [(row["database"], row["id"]) for row in data["results"]]


def test_nothing_waits(api: Api):
    answer = api.get("cache/pending")
    assert answer.status == 200
    assert answer.data == {
        "unreachable": [],
        "count": 0,
        "next": None,
        "previous": None,
        "results": [],
    }


def test_a_row_says_what_waits_why_and_since_when(api: Api):
    later = timezone.now() + timedelta(seconds=30)
    (row,) = write(
        "other",
        entities={"product": 2},
        entity_type="product",
        cause="update",
        attempts=3,
        last_error="ConnectionError: refused",
        next_attempt=later,
    )
    assert api.get("cache/pending").data["results"] == [
        {
            "database": "other",
            "id": row.pk,
            "created": row.created.isoformat(),
            "entity_type": "product",
            "cause": "update",
            "entities": {"product": 2},
            "targets": {"tags": ["a"], "entries": [], "keys": [], "patterns": []},
            "sizes": {"tags": 1, "entries": 0, "keys": 0, "patterns": 0},
            "attempts": 3,
            "next_attempt": later.isoformat(),
            "last_error": "ConnectionError: refused",
        }
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8])
def test_pages_hold_every_row_once_the_oldest_of_each_database_first(api: Api, limit: int):
    rows = [
        (using, row.pk)
        for using, number in (("default", 3), ("other", 1), ("sqlite", 3))
        for row in write(using, number)
    ]
    found: list[tuple[str, int]] = []
    query: dict[str, Any] | None = {"limit": limit}
    while query is not None:
        data = api.get("cache/pending", **query).data
        assert data["count"] == 7
        assert len(data["results"]) <= limit
        found += listed(data)
        query = parse_qs(urlsplit(data["next"]).query) if data["next"] else None
    assert found == rows


def test_the_page_before_is_linked(api: Api):
    write("default", 5)
    second = api.get("cache/pending", limit=2, offset=2).data
    first = parse_qs(urlsplit(second["previous"]).query)
    assert listed(api.get("cache/pending", **first).data) == listed(
        api.get("cache/pending", limit=2).data
    )


def test_a_page_beyond_the_end_is_empty(api: Api):
    write("default", 2)
    for offset in (2, 3, 10**30):
        data = api.get("cache/pending", offset=offset).data
        assert (data["count"], data["results"]) == (2, [])


def test_pages_have_a_size_unless_another_is_asked_for(api: Api):
    write("default", PAGE + 1)
    assert len(api.get("cache/pending").data["results"]) == PAGE
    assert len(api.get("cache/pending", limit=MAX_PAGE).data["results"]) == PAGE + 1


def test_one_database_can_be_asked_for(api: Api):
    write("default", 2)
    (row,) = write("other")
    data = api.get("cache/pending", database="other").data
    assert (data["count"], listed(data)) == (1, [("other", row.pk)])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", str(MAX_PAGE + 1)),
        ("limit", "x"),
        ("offset", "-1"),
        ("offset", "x"),
        ("database", "nothing"),
        ("database", ""),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(api: Api, name: str, value: str):
    answer = api.get("cache/pending", **{name: value})
    assert (answer.status, list(answer.data)) == (400, [name])


def test_a_database_that_does_not_answer_is_named_and_the_others_are_shown(
    api: Api, monkeypatch: Any
):
    (row,) = write("default")
    write("other", 2)
    monkeypatch.setattr(connections["other"], "cursor", _refuse)
    data = api.get("cache/pending").data
    assert data["unreachable"] == ["other"]
    assert (data["count"], listed(data)) == (1, [("default", row.pk)])


def _refuse(*args: Any) -> Any:
    raise ConnectionError("nobody listens")


def test_long_lists_are_cut_and_their_length_is_told(api: Api):
    tags = [f"t{n}" for n in range(TARGETS_SHOWN + 5)]
    write("default", targets={"tags": tags, "entries": [], "keys": [], "patterns": []})
    (row,) = api.get("cache/pending").data["results"]
    assert row["targets"]["tags"] == tags[:TARGETS_SHOWN]
    assert row["sizes"]["tags"] == TARGETS_SHOWN + 5


@pytest.mark.parametrize("targets", [None, [], "x", {"tags": "x"}, {}], ids=repr)
def test_a_row_that_nobody_can_have_written_is_shown_all_the_same(api: Api, targets: Any):
    write("default", targets=targets or [], last_error="TypeError: no list")
    (row,) = api.get("cache/pending").data["results"]
    assert (row["targets"], row["last_error"]) == ({}, "TypeError: no list")
