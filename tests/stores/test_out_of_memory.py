"""A server without memory to spare refuses fences; what is committed is dropped all the same."""

from typing import Any

import pytest
import redis

from cache_invalidation.exceptions import StoreRefused
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import Delivery
from example_project.servers import ValkeyServer


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


def test_a_delivery_drops_everything_though_another_writer_has_fenced_some_of_it(full):
    store, fill_up = full
    store.fence(["b"], [], "other")
    fill_up()
    with pytest.raises(StoreRefused):
        store.fence(["a", "b", "c"], [], "own")
    store.deliver(Delivery(token="own", tags=["a", "b", "c"]))
    found = store.versions(["a", "b", "c"])
    assert (found["a"], found["c"]) == (None, None)
    assert found["b"].startswith("!other@")


def test_a_fence_that_is_refused_has_dropped_what_it_was_for(full):
    store, fill_up = full
    fill_up()
    with pytest.raises(StoreRefused):
        store.fence(["a", "b"], [], "own")
    for version in store.versions(["a", "b"]).values():
        assert version is None or version.startswith("!own@")


def test_a_delivery_beside_another_fence_leaves_its_own_standing_until_it_lapses(full):
    store, fill_up = full
    store.fence(["a", "b"], [], "own")
    store.fence(["b"], [], "other")
    fill_up()
    store.deliver(Delivery(token="own", tags=["a", "b"], is_fenced=True))
    found = store.versions(["a", "b"])
    assert found["a"] is None
    assert "!other@" in found["b"]
