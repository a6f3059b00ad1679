"""The counters as operators see them."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from cache_invalidation import ModelInvalidation, cached, invalidate, publish, registry
from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.report import read_metrics, read_minutes, reset_metrics
from cache_invalidation.stores import get_store
from cache_invalidation.tags import Invalidation
from tests.testapp.models import Category, Product


@cached(tags=["report"], name="report.page")
def page(number: int = 0) -> int:
    return number


@pytest.fixture
def rules() -> Any:
    class Rule(ModelInvalidation):
        tags = ["category:{category_id}"]
        keys = ["detail:{pk}"]
        patterns = ["list:{category_id}:*"]
        entity_type = "product"

    with registry.override(Product, Rule), registry.override(Category, ModelInvalidation):
        yield


def test_before_anything_is_counted_everything_is_zero():
    assert dict(read_metrics()) == {
        "hits": 0,
        "misses": 0,
        "bypasses": 0,
        "hit_rate": None,
        "functions": {},
        "figures": {},
        "dropped": [],
        "details_left_out": 0,
        "not_stored": {},
        "stored": {},
        "refreshed": {},
        "near_hits": {},
        "waits_by_entity_type": {},
        "waits_by_name": {},
        "invalidations_by_entity_type": {},
        "tag_invalidations": 0,
        "key_invalidations": 0,
        "pattern_invalidations": 0,
        "failed_invalidations": 0,
        "pending_invalidations": 0,
        "fetched_together": 0,
        "could_be_together": {},
        "fetched_in_vain": 0,
        "checked_hits": 0,
        "stale_hits": 0,
        "stale_rate": None,
        "stale_by_entity_type": {},
        "store": {
            "alias": "default",
            "state": "working",
            "since": None,
            "reason": "",
            "outages": 0,
        },
        "latency": {"p50": None, "p95": None, "p99": None},
        "last_invalidation": None,
        "since": None,
    }


@pytest.mark.parametrize(
    ("reads", "rate"), [([0], 0.0), ([0, 0], 0.5), ([0, 0, 0], 0.6667), ([0, 1], 0.0)]
)
def test_the_hit_rate_is_hits_by_reads(reads: list[int], rate: float):
    for number in reads:
        page(number)
    assert read_metrics()["hit_rate"] == rate


def test_bypasses_do_not_count_for_the_hit_rate():
    counters.update({"hits": 3, "misses": 1, "bypasses": 96})
    assert read_metrics()["hit_rate"] == 0.75


@pytest.mark.django_db(transaction=True)
def test_invalidations_are_counted_by_entity_type(rules):
    category = Category.objects.create(name="c")
    with transaction.atomic():
        first = Product.objects.create(name="a", category=category)
        Product.objects.create(name="b", category=category)
    first.save()
    first.delete()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Product.objects.create(name="rolled back", category=category)
        raise ZeroDivisionError
    invalidate(tags=["homepage"])
    assert read_metrics()["invalidations_by_entity_type"] == {
        "manual": 1,
        "product": 4,
        "testapp.category": 1,
    }


@pytest.mark.django_db(transaction=True)
def test_targets_are_counted_once_for_each_transaction(rules):
    product = Product.objects.create(name="a")
    reset_metrics()
    with transaction.atomic():
        for _ in range(3):
            product.save()
    metrics = read_metrics()
    # The model, the row, and what the rule names.
    assert metrics["tag_invalidations"] == 3
    assert metrics["key_invalidations"] == 1
    assert metrics["pattern_invalidations"] == 1
    assert metrics["invalidations_by_entity_type"] == {"product": 3}


@pytest.mark.django_db(transaction=True)
def test_the_last_invalidation_says_when_what_and_why(rules):
    before = datetime.now(UTC)
    invalidate(tags=["first"])
    product = Product.objects.create(name="a")
    last = read_metrics()["last_invalidation"]
    assert last is not None
    assert before <= datetime.fromisoformat(last["when"]) <= datetime.now(UTC)
    assert (last["entity_type"], last["cause"]) == ("product", "create")
    assert last["targets"] == {
        "tags": ["category:None", "testapp.product", f"testapp.product:{product.pk}"],
        "keys": [f"detail:{product.pk}"],
        "patterns": ["list:None:*"],
    }


def test_the_last_invalidation_names_no_more_targets_than_one_can_read():
    invalidate(tags=[f"tag{n}" for n in range(300)], keys=[f"key{n}" for n in range(300)])
    metrics = read_metrics()
    last = metrics["last_invalidation"]
    assert last is not None
    assert len(last["targets"]["tags"]) == len(last["targets"]["keys"]) == 20
    assert last["sizes"] == {"tags": 300, "keys": 300, "patterns": 0}
    assert metrics["tag_invalidations"] == metrics["key_invalidations"] == 300


def test_an_event_is_the_cause_of_what_it_invalidates():
    def user_updated(event: Any) -> Invalidation:
        return Invalidation(tags=[f"user:{event.user_id}"])

    registry.on_event("user.updated", user_updated)
    try:
        publish("user.updated", user_id=3)
    finally:
        registry.off_event(user_updated)
    metrics = read_metrics()
    assert metrics["last_invalidation"] is not None
    assert metrics["last_invalidation"]["cause"] == "event:user.updated"
    assert metrics["invalidations_by_entity_type"] == {"user.updated": 1}


def test_names_with_colons_and_odd_characters_are_told_apart():
    counters.update({"hits:a:b": 1, "misses:a": 2, "bypasses:größe (x)": 3})
    invalidate(tags=["x"], entity_type="shop: größe")
    metrics = read_metrics()
    assert sorted(metrics["functions"]) == ["a", "a:b", "größe (x)"]
    assert metrics["functions"]["a:b"]["hits"] == 1
    assert metrics["functions"]["a"] == {
        "hits": 0, "misses": 2, "bypasses": 0, "hit_rate": 0.0
    }  # fmt: skip
    assert metrics["invalidations_by_entity_type"] == {"shop: größe": 1}


def test_since_is_the_first_count_or_the_last_reset():
    page()
    first = read_metrics()["since"]
    assert first is not None
    page()
    assert read_metrics()["since"] == first
    reset_metrics()
    second = read_metrics()["since"]
    assert second is not None
    assert datetime.fromisoformat(second) > datetime.fromisoformat(first)


def test_a_reset_sets_everything_to_zero_and_keeps_what_is_cached():
    page()
    page()
    invalidate(tags=["x"], keys=["y"])
    counters.update({"failed": 2})
    reset_metrics()
    metrics = read_metrics()
    assert (metrics["hits"], metrics["misses"], metrics["failed_invalidations"]) == (0, 0, 0)
    assert metrics["functions"] == {}
    assert metrics["invalidations_by_entity_type"] == {}
    assert metrics["tag_invalidations"] == metrics["key_invalidations"] == 0
    assert metrics["last_invalidation"] is None
    assert all(minute["hits"] == 0 for minute in read_minutes())
    page()
    assert read_metrics()["hits"] == 1


def test_reading_the_metrics_flushes_this_process():
    page()
    assert get_store().counters().get("misses") is None
    assert read_metrics()["misses"] == 1


def test_minutes_come_oldest_first_and_add_up():
    page()
    page()
    counters.update({"failed": 1, "bypasses": 1})
    counters.flush()
    invalidate(tags=["x"], entity_type="shop")
    now = time.time()
    minutes = read_minutes(5)
    times = [minute["time"] for minute in minutes]
    assert times == [times[0] + 60 * n for n in range(5)]
    assert times[-1] <= now + 60
    assert now - 60 < times[-1]
    for name in ("hits", "misses", "bypasses", "failed_invalidations"):
        assert sum(minute[name] for minute in minutes) == 1
    assert [m["invalidations_by_entity_type"] for m in minutes].count({"shop": 1}) == 1


def test_a_day_of_minutes_can_be_read_and_no_more():
    assert len(read_minutes(10_000)) == 24 * 60
    assert len(read_minutes()) == 60
    assert len(read_minutes(1)) == 1


def test_minutes_are_forgotten_after_a_day(redis_client):
    page()
    counters.flush()
    (name,) = redis_client.keys("*{counters}:[0-9]*")
    assert timedelta(hours=24) < timedelta(seconds=redis_client.ttl(name)) < timedelta(hours=25)
    assert redis_client.ttl(name.rpartition(b":")[0]) == -1


@pytest.mark.parametrize("alias", ["locmem", "redis_django"])
def test_other_caches_report_the_same(settings, alias: str):
    settings.CACHE_INVALIDATION |= {"CACHE": alias}
    get_store().reset_counters()
    counters.discard()
    page(1)
    page(1)
    invalidate(tags=["x"], keys=["y"], entity_type="shop")
    metrics = read_metrics()
    assert (metrics["hits"], metrics["misses"], metrics["hit_rate"]) == (1, 1, 0.5)
    assert metrics["invalidations_by_entity_type"] == {"shop": 1}
    assert metrics["last_invalidation"] is not None
    assert metrics["last_invalidation"]["targets"]["keys"] == ["y"]
    assert sum(minute["hits"] for minute in read_minutes(3)) == 1
