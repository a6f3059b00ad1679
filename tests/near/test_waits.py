"""Whoever has to wait for those who keep near what he changes is counted, whatever he does."""

from collections.abc import Callable
from time import monotonic
from typing import Any, Final

import pytest
from django.core.cache import cache
from django.db import connections

from cache_invalidation import cached
from cache_invalidation.delivery.fencing import Fence, deliver, withdraw
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.stores.messages import new_token
from cache_invalidation.stores.near.waiting import holder_name
from cache_invalidation.stores.redis import near as redis_near
from cache_invalidation.stores.redis.store import RedisStore
from cache_invalidation.surfaces.tracked.keys import Key
from cache_invalidation.transactions.batch import Batch
from tests.near.keys import OPTIONS, acting, caches_with
from tests.near.test_clearing import OWN
from tests.near.test_tracked_keys import KEY, WAYS, place, put_name, writer
from tests.stores.steps import remember

__all__ = ["writer"]

pytestmark = pytest.mark.django_db(transaction=True)

PATTERN: Final = "cache:product:*"

#: By whom it is counted, where that is not the pattern.
BY: Final = {
    "a write": "testapp.product",
    "delete in a transaction": "testapp.category",
    "delete_pattern of a prefix": "delete_pattern",
    "delete_pattern of another form": "delete_pattern",
    "invalidate by key": "manual",
    "invalidate by pattern": "manual",
}

#: What a recovery does, on behalf of nobody's write.
UNCOUNTED: Final = "everything"


@pytest.fixture(autouse=True)
def long_leases() -> None:
    """Leave leases as short as they are: some of these wait until they are over."""


@pytest.fixture(autouse=True)
def tracked(settings: Any, in_use: None, request: Any) -> None:
    settings.CACHES = caches_with(**OPTIONS, **getattr(request, "param", {}))


@pytest.fixture
def hold(other: RedisStore) -> Callable[..., None]:
    """Have somebody hold what is at a place who never answers, such as who was killed."""

    def hold(place: str, *tags: str) -> None:
        holder = holder_name(new_token(), 0.01)
        assert other.renew(holder, 0, {}, joins=True)
        assert other.hold(place, tags, holder).stamp

    return hold


def waits() -> dict[str, int]:
    return {name: found["waits"] for name, found in read_metrics()["waits_by_entity_type"].items()}


@pytest.mark.parametrize("way", sorted(WAYS.keys() - {UNCOUNTED}))
def test_each_way_to_change_a_tracked_key(way, store, writer, hold, product):
    put_name()
    hold(place(), *Key(KEY, 1, "product:*", 300).read().tags)
    with acting(writer):
        WAYS[way][0]()
    assert BY.get(way, PATTERN) in waits()


@pytest.mark.parametrize("tracked", [{}, OWN], ids=["all", "in a way of its own"], indirect=True)
def test_to_clear_the_cache(store, hold, product, tracked):
    put_name()
    hold(place(), "*")
    cache.clear()
    assert set(waits()) == {"clear"}


def test_a_refresh(store, hold):
    rates = iter(range(9))

    @cached(near=True, name="near.rate", tags=["rate"])
    def rate() -> int:
        return next(rates)

    assert rate() == 0
    hold(store.entry_place(rate.key()))
    assert rate.refresh() == 1
    assert set(waits()) == {"near.rate"}


def test_a_check_that_finds_something_stale(store, hold):
    rates = iter(range(9))

    @cached(near=True, sample=1, name="near.stale", tags=["rate"])
    def rate() -> int:
        return next(rates)

    assert rate() == 0
    hold(store.entry_place(rate.key()))
    assert rate() == 1
    assert set(waits()) == {"near.stale"}


def batch_of(tag: str) -> Batch:
    batch = Batch("default", deliver)
    batch.tags.add(tag)
    batch.count("shop.product", "save")
    return batch


def test_what_is_rolled_back_when_its_fence_has_lapsed(store, hold):
    remember(store, "page", "value", "tag")
    hold(store.entry_place("page"), "tag")
    withdraw(batch_of("tag"), Fence(new_token(), ("tag",), connections["default"]))
    assert waits() == {"shop.product": 1}


def test_who_can_tell_nobody_waits_once_in_an_outage(store, monkeypatch):
    slept: list[float] = []
    counted: list[tuple[float, int, Any]] = []
    monkeypatch.setattr(redis_near, "_sleep_until", slept.append)
    begun = monotonic()
    store.wait_for_leases(lambda *said: counted.append(said))
    assert slept[0] > begun
    assert [said[1:] for said in counted] == [(0, {})]
    store._untold = (store.breaker.outages, -3600.0)  # It has been down for long.
    monkeypatch.setattr(type(store.breaker), "is_working", False)
    store.wait_for_leases(lambda *said: counted.append(said))
    assert (len(slept), len(counted)) == (1, 1)


def test_who_drops_everything_for_a_store_that_is_back_is_nobody(store, hold, product):
    put_name()
    hold(place(), "*")
    store.drop_everything()
    assert waits() == {}
