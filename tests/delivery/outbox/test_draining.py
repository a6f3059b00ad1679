"""What waits reaches the store: all of it, once, in order, and told and counted as ever."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.core.cache import caches
from django.db import transaction
from django.utils import timezone

from cache_invalidation import invalidate
from cache_invalidation.delivery.outbox import draining
from cache_invalidation.delivery.outbox.draining import BATCH, drain, drain_all
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.models import PendingInvalidation, backlog
from cache_invalidation.signals import invalidated
from tests.delivered import delivered, update_behind_the_back
from tests.delivery.outbox.rows import let_wait, names, rows, targets
from tests.outages import Use
from tests.testapp.models import Category, Product

DATABASES = ["default", "other", "sqlite"]

pytestmark = pytest.mark.django_db(transaction=True)

everywhere = pytest.mark.django_db(transaction=True, databases=DATABASES)
in_both = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


@pytest.fixture
def told() -> Iterator[list[dict[str, Any]]]:
    """What `invalidated` tells."""
    told: list[dict[str, Any]] = []

    def receiver(**message: Any) -> None:
        told.append(message)

    invalidated.connect(receiver)
    yield told
    invalidated.disconnect(receiver)


@in_both
def test_everything_that_waits_reaches_the_store(
    up: Use, down: Use, using: str, told: list[dict[str, Any]]
) -> None:
    up()
    cache = caches["default"]
    cache.set_many({"k": 1, "p:1": 1, "p:2": 1, "stays": 1})
    assert names(using) == names(using) == []
    down()
    with transaction.atomic(using=using):
        Product.objects.using(using).create(name="a")
        names.invalidate("unknown")
        invalidate(keys=["k"], patterns=["p:*"], using=using, entity_type="page", cause="deploy")
    up()
    assert names(using) == [], "this store has not seen the outage"
    assert list(drain(using)) == [1, 0]
    assert names(using) == ["a"]
    assert caches["default"].get_many(["k", "p:1", "p:2", "stays"]) == {"stays": 1}
    assert rows(using) == []
    (message,) = told
    invalidation = message["invalidation"]
    assert "testapp.product" in invalidation.tags
    assert (invalidation.keys, invalidation.patterns) == ({"k"}, {"p:*"})
    assert message["entities"] == {"testapp.product": 1, "page": 1, "outbox.names": 1}
    assert message["using"] == using
    found = read_metrics()
    assert found["invalidations_by_entity_type"] == message["entities"]
    assert found["tag_invalidations"] == len(invalidation.tags)
    assert (found["key_invalidations"], found["pattern_invalidations"]) == (1, 1)
    assert (found["failed_invalidations"], found["pending_invalidations"]) == (0, 0)


def test_entries_that_wait_are_dropped(up: Use, down: Use) -> None:
    Product.objects.create(name="old")
    PendingInvalidation.objects.all().delete()
    up()
    assert names() == ["old"]
    down()
    names.invalidate()
    assert targets() == [{"entries": [names.key()]}]
    up()
    assert sum(drain("default")) == 1
    update_behind_the_back(Product.objects.all(), name="new")
    assert names() == ["new"]


@in_both
def test_a_backlog_is_delivered_in_batches(up: Use, using: str, told: list[Any]) -> None:
    up()
    let_wait(BATCH * 2 + 1, using)
    assert list(drain(using)) == [BATCH, BATCH, 1, 0]
    assert len(told) == 3
    found = read_metrics()
    assert found["tag_invalidations"] == found["invalidations_by_entity_type"]["thing"]
    assert found["tag_invalidations"] == BATCH * 2 + 1


def test_the_oldest_are_delivered_first(up: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    up()
    let_wait(10)
    monkeypatch.setattr(draining, "BATCH", 2)
    with delivered() as found:
        list(drain("default"))
    assert [sorted(each.tags) for each in found] == [
        [f"default:{n}", f"default:{n + 1}"] for n in range(0, 10, 2)
    ]


def test_tags_of_many_rows_collapse_once_more(up: Use) -> None:
    up(ROW_TAG_LIMIT=3)
    let_wait(5)
    with delivered() as found:
        list(drain("default"))
    assert found.tags == {"default:*"}


@everywhere
def test_every_database_is_drained(up: Use) -> None:
    up()
    for number, using in enumerate(DATABASES, 1):
        let_wait(number, using)
    assert drain_all() == 6
    assert backlog() == 0


@everywhere
def test_draining_nothing_is_nothing(up: Use, told: list[Any]) -> None:
    up()
    assert (drain_all(), told) == (0, [])
    assert read_metrics()["last_invalidation"] is None


@in_both
@pytest.mark.parametrize("hours", [-3, 3])
def test_a_writer_whose_clock_is_wrong_is_not_waited_for(
    down: Use, up: Use, using: str, hours: int
) -> None:
    wrong = timezone.now() + timedelta(hours=hours)
    with (
        mock.patch("django.utils.timezone.now", return_value=wrong),
        transaction.atomic(using=using),
    ):
        Category.objects.using(using).create(name="a")
    assert len(rows(using)) == 1
    up()
    assert list(drain(using)) == [1, 0]


def test_what_is_not_due_is_left(up: Use) -> None:
    up()
    later = timezone.now() + timedelta(hours=1)
    let_wait(1, next_attempt=later, cause="autocommit, may not be committed")
    let_wait(1, next_attempt=later, attempts=1, cause="failed before")
    let_wait(1, cause="due")
    assert sum(drain("default")) == 1
    assert sum(drain("default", retry=True)) == 1
    assert [row.cause for row in rows()] == ["autocommit, may not be committed"]
