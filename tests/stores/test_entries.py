"""Listing the names of the entries, where a cache can."""

import pytest
import redis
from django.core.cache import caches

from cache_invalidation.exceptions import PatternsNotSupported, StoreUnavailable
from cache_invalidation.stores import get_store
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.messages import Delivery, entry_name
from tests.stores.steps import remember


def test_the_names_of_entries_are_listed_and_nothing_else(store: Store):
    names = {"shop.page", "shop.page:abc", "shop.[pages]*:abc", "shop.pages", "shop.größe"}
    for name in names:
        remember(store, name, "value", "shop.page", "b")
    store.acquire(store.entry_place("shop.page"), "token", 60)
    store.count({"hits": 1})
    if not store.supports_patterns:
        with pytest.raises(PatternsNotSupported, match=store.alias):
            store.entries()
        return
    # Locally, a digest stands for a name that other caches would refuse.
    listed = names - {"shop.größe"} if store.alias == "locmem" else names
    assert set(store.entries()) == listed
    assert set(store.entries("shop.page")) == {"shop.page", "shop.page:abc", "shop.pages"}
    assert set(store.entries("shop.[")) == {"shop.[pages]*:abc"}
    assert set(store.entries("nothing")) == set()
    store.deliver(Delivery(token="t", entries=[store.entry_place("shop.pages")]))
    store.deliver(Delivery(token="t", tags=["b"]))
    assert {"shop.page", "shop.page:abc"} <= set(store.entries("shop.page"))


def test_a_server_that_dies_while_its_entries_are_listed_is_no_end_of_the_list(settings, valkey):
    settings.CACHES |= {"default": settings.CACHES["default"] | {"LOCATION": valkey.url}}
    with redis.Redis.from_url(valkey.url) as client, client.pipeline() as pipeline:
        for number in range(5000):
            pipeline.set(caches["default"].make_key(entry_name(f"page:{number}")), b"\x01")
        pipeline.execute()
    names = get_store().entries()
    next(names)
    valkey.kill()
    with pytest.raises(StoreUnavailable):
        list(names)
