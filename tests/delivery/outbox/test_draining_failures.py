"""Draining fails, in whole or in part: what is left is tried again, and keeps nothing else."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from cache_invalidation import invalidate
from cache_invalidation.delivery.outbox.draining import BATCH, LONGEST_DELAY, drain, drain_all
from cache_invalidation.exceptions import StoreRefused, StoreUnavailable
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.models import PendingInvalidation
from cache_invalidation.signals import invalidation_failed
from cache_invalidation.stores import get_store
from tests.delivered import delivered
from tests.delivery.outbox.rows import is_due, let_wait, rows
from tests.outages import Use

DATABASES = ["default", "other", "sqlite"]

pytestmark = pytest.mark.django_db(transaction=True)

everywhere = pytest.mark.django_db(transaction=True, databases=DATABASES)
in_both = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


def test_what_fails_is_due_again_later_and_later(down: Use) -> None:
    let_wait(2)
    for attempt in range(1, 12):
        before = timezone.now()
        with pytest.raises(StoreUnavailable):
            list(drain("default", retry=True))
        after = timezone.now()
        assert [row.attempts for row in rows()] == [attempt] * 2
        assert "nobody-listens-here" in rows()[0].last_error
        longest = timedelta(seconds=min(LONGEST_DELAY, 2.0 ** (attempt - 1)))
        for row in rows():
            assert before + longest / 2 <= row.next_attempt <= after + longest
    PendingInvalidation.objects.update(next_attempt=timezone.now() + longest)
    assert list(drain("default")) == [0]


def test_rows_that_failed_together_are_not_due_together(down: Use) -> None:
    let_wait(20)
    with pytest.raises(StoreUnavailable):
        list(drain("default"))
    moments = [row.next_attempt for row in rows()]
    assert max(moments) - min(moments) > timedelta(milliseconds=50)


def test_only_the_batch_that_failed_is_postponed(down: Use) -> None:
    let_wait(BATCH + 1)
    with pytest.raises(StoreUnavailable):
        list(drain("default"))
    assert [row.attempts for row in rows()] == [1] * BATCH + [0]


def test_what_has_failed_for_days_is_still_tried(down: Use, up: Use) -> None:
    let_wait(1, attempts=100_000)
    with pytest.raises(StoreUnavailable):
        list(drain("default"))
    assert not is_due(rows()[0])
    up()
    assert sum(drain("default", retry=True)) == 1


def test_a_failure_that_was_postponed_is_delivered_whole(down: Use, up: Use) -> None:
    let_wait(3)
    with pytest.raises(StoreUnavailable):
        list(drain("default"))
    up()
    assert sum(drain("default", retry=True)) == 3
    assert read_metrics()["tag_invalidations"] == 3


BAD_TARGETS: list[Any] = [
    {},
    [],
    5,
    "homepage",
    {"tags": []},
    {"tags": "homepage", "entries": [], "keys": [], "patterns": []},
    {"tags": {"homepage": 1}, "entries": [], "keys": [], "patterns": []},
    {"tags": [1], "entries": [], "keys": [], "patterns": []},
    {"tags": [None], "entries": [], "keys": [], "patterns": []},
    {"tags": ["hand", ["edited"]], "entries": [], "keys": [], "patterns": []},
    {"tags": ["hand"], "entries": None, "keys": [], "patterns": []},
]
GOOD = {"tags": ["hand"], "entries": [], "keys": [], "patterns": []}
BAD_ENTITIES: list[Any] = [["page"], {"page": "many"}, {"page": None}, {"page": [1]}, 5, "page"]


def test_rows_that_nobody_understands_are_left_and_the_others_are_delivered(
    up: Use, caplog: pytest.LogCaptureFixture
) -> None:
    up()
    let_wait(1)
    edited = []
    # As an operator does, whom no form keeps from it.
    for bad, entities in [(bad, {}) for bad in BAD_TARGETS] + [(GOOD, bad) for bad in BAD_ENTITIES]:
        edited.append(PendingInvalidation.objects.create(targets=bad, entities=entities).pk)
        let_wait(1)
    before = timezone.now()
    with delivered() as found:
        assert sum(drain("default")) == len(edited) + 1
    assert found.tags == {"default:0"}
    assert [row.pk for row in rows()] == edited
    for row in rows():
        assert row.attempts == 1, row.targets
        assert "Error" in row.last_error
        assert row.next_attempt >= before + timedelta(seconds=0.5)
        assert f"The row {row.pk} of the outbox cannot be understood" in caplog.text


def test_patterns_that_nobody_can_delete_are_told_as_lost_and_go(
    up: Use, down: Use, settings: Any
) -> None:
    lost: list[Any] = []

    def receiver(invalidation: Any, **message: Any) -> None:
        lost.append(set(invalidation.patterns))

    invalidation_failed.connect(receiver)
    try:
        invalidate(tags=["a"], patterns=["p*"])
        up(CACHE="redis_django")
        with delivered() as found:
            assert sum(drain("default")) == 1
    finally:
        invalidation_failed.disconnect(receiver)
    assert found.tags == {"a"}
    assert lost == [{"p*"}]
    assert rows() == []
    assert read_metrics()["failed_invalidations"] == 1


def test_patterns_that_nobody_can_delete_are_lost_once_however_often_it_is_tried(
    down: Use, settings: Any
) -> None:
    invalidate(tags=["a"], patterns=["p*"])
    lost: list[Any] = []

    def receiver(**message: Any) -> None:
        lost.append(message)

    invalidation_failed.connect(receiver)
    try:
        for _ in range(3):
            # A process that has just begun does not know that the store is down.
            settings.CACHES = settings.CACHES | {
                "plain": settings.CACHES["redis_django"] | {"LOCATION": "unix:///nobody.sock"}
            }
            settings.CACHE_INVALIDATION = settings.CACHE_INVALIDATION | {"CACHE": "plain"}
            with pytest.raises(StoreUnavailable):
                list(drain("default", retry=True))
    finally:
        invalidation_failed.disconnect(receiver)
    assert lost == []
    assert rows()[0].attempts == 3


def test_what_is_delivered_in_part_is_counted_once(
    down: Use, up: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(patterns: Any) -> int:
        raise StoreRefused("just now")

    invalidate(tags=["a"], patterns=["p*"], entity_type="page")
    up()
    with monkeypatch.context() as patch:
        patch.setattr(get_store(), "delete_patterns", refuse)
        assert sum(drain("default")) == 0
    assert rows()[0].attempts == 1
    assert sum(drain("default", retry=True)) == 1
    found = read_metrics()
    assert found["invalidations_by_entity_type"] == {"page": 1}
    assert (found["tag_invalidations"], found["pattern_invalidations"]) == (1, 1)


@everywhere
def test_a_database_that_does_not_answer_does_not_keep_the_others(
    up: Use, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    up()
    let_wait(1, "default")
    let_wait(1, "sqlite")
    connections["other"].close()
    monkeypatch.setitem(connections["other"].settings_dict, "NAME", "no such database")
    with pytest.raises(Exception, match="no such database"):
        drain_all()
    assert (rows("default"), rows("sqlite")) == ([], [])
    assert "'other' cannot be drained" in caplog.text
