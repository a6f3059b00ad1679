"""A server without memory to spare stores no values; whoever writes is not refused all the same."""

from typing import Any

import pytest
import redis
from django.core.cache import caches

from cache_invalidation import cached
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.models import PendingInvalidation
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import Delivery, Filling
from cache_invalidation.surfaces.tracked.units import unit_of_work
from example_project.servers import ValkeyServer
from tests.stores.steps import MISS, recall, remember
from tests.testapp.models import Product


@pytest.fixture
def full(settings: Any, valkey: ValkeyServer) -> Any:
    """A store with a version under each of three tags, and a way to have its server be full."""
    settings.CACHES = {
        **settings.CACHES,
        "default": {**settings.CACHES["default"], "LOCATION": valkey.url},
    }
    store = get_store()
    store.mint(["a", "b", "c"], 60)
    with redis.Redis.from_url(valkey.url) as client:
        yield store, lambda: client.config_set("maxmemory", 1)


def test_fences_are_raised_and_lifted_as_ever(full):
    store, fill_up = full
    store.fence(["b"], [], "other")
    fill_up()
    store.fence(["a", "b"], [], "own")
    found = store.versions(["a", "b"])
    assert found["a"].startswith("!own@")
    assert "!own@" in found["b"]
    assert "!other@" in found["b"]
    store.deliver(Delivery(token="own", tags=["a", "b", "c"], is_fenced=True))
    found = store.versions(["a", "b", "c"])
    assert (found["a"], found["c"]) == (None, None)
    assert found["b"].startswith("!other@")


def test_so_are_those_of_an_entry_with_its_mark(full):
    store, fill_up = full
    place = store.entry_place("page")
    remember(store, "page", 1, "a")
    fill_up()
    store.fence([], [place], "own")
    assert store.lookup(place, ("a",)).entry_fenced
    store.deliver(Delivery(token="own", entries=[place], is_fenced=True))
    assert store.lookup(place, ("a",)).mark == "~own"
    assert recall(store, "page", "a") is MISS


@pytest.mark.parametrize("timeout", [None, 3600], ids=["for ever", "longer than its versions"])
@pytest.mark.parametrize("salt", ["", "salt"], ids=["", "of a tracked key"])
def test_values_are_refused_however_long_they_and_their_versions_are_to_live(full, timeout, salt):
    store, fill_up = full
    place, versions = store.entry_place("page"), store.versions(["a"])
    fill_up()
    with pytest.raises(StoreUnavailable, match="OutOfMemory"):
        store.fill(Filling(entry=place, payload=b"", versions=versions, timeout=timeout, salt=salt))
    assert store.lookup(place, ("a",)).entry is None


@pytest.mark.django_db(transaction=True)
def test_nothing_waits_in_the_outbox_and_nothing_stale_is_served(full):
    _, fill_up = full
    product = Product.objects.create(name="old")

    @cached(name="full.name")
    def name_of(pk: int) -> str:
        return Product.objects.get(pk=pk).name

    @cached(name="full.shout", tags=["testapp.product:{pk}"])
    def shout(pk: int) -> str:
        return Product.objects.get(pk=pk).name.upper()

    assert [(name_of(product.pk), shout(product.pk)) for _ in range(2)] == [("old", "OLD")] * 2
    fill_up()
    Product.objects.update(name="new")
    shout.invalidate(product.pk)
    assert [(name_of(product.pk), shout(product.pk)) for _ in range(2)] == [("new", "NEW")] * 2
    assert not PendingInvalidation.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_nor_under_a_tracked_key(full, settings):
    tracked = {
        "BACKEND": "cache_invalidation.backends.RedisCache",
        "OPTIONS": {"TRACK": ["product:*"]},
    }
    settings.CACHES = {**settings.CACHES, "default": settings.CACHES["default"] | tracked}
    _, fill_up = full
    cache = caches["default"]
    product = Product.objects.create(name="old")

    def name() -> str:
        return Product.objects.get(pk=product.pk).name

    def got() -> Any:
        with unit_of_work():
            found: Any = cache.get_or_set("product:1", name)
            return found

    assert [got(), got()] == ["old", "old"]
    fill_up()
    Product.objects.update(name="new")
    with unit_of_work():
        assert cache.get("product:1") is None
    assert [got(), got()] == ["new", "new"]
    cache.delete("product:1")
    assert not PendingInvalidation.objects.exists()
