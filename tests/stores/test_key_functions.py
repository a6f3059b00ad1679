"""Tenants on the caches that need a server of their own. See also ``tests/test_tenants.py``."""

from typing import Any

import pytest
from django.core.cache import caches

from cache_invalidation.stores import get_store
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.messages import Delivery
from tests.stores.conftest import cluster_alias, memcached_alias
from tests.stores.steps import MISS, drop, keep, recall, remember, sample
from tests.tenants import by_tenant, serving, with_hash_tag


@pytest.fixture(params=["memcached", "cluster", "cluster with hash tags"])
def store(request: pytest.FixtureRequest, settings: Any) -> Store:
    function = with_hash_tag if request.param.endswith("tags") else by_tenant
    if request.param == "memcached":
        config = memcached_alias(request.getfixturevalue("memcached"))
    else:
        config = cluster_alias(request.getfixturevalue("cluster"))
    settings.CACHES |= {"tenants": config | {"KEY_FUNCTION": function}}
    settings.CACHE_INVALIDATION = {"CACHE": "tenants"}
    with serving("nobody"):
        caches["tenants"].clear()
    return get_store("tenants")


def test_a_write_in_one_tenant_drops_the_tag_for_all_of_them(store: Store):
    for name in ("first", "second"):
        with serving(name):
            remember(store, "a page", name, "a tag with spaces")
            assert recall(store, "a page", "a tag with spaces") == name
    with serving("second"):
        before = sample(store, "other", "a tag with spaces")
    store.fence(["a tag with spaces"], [], "writer")
    with serving("second"):
        assert not keep(store, "other", "old", before)
    drop(store, "a tag with spaces")
    for name in ("first", "second"):
        with serving(name):
            assert recall(store, "a page", "a tag with spaces") == MISS


def test_an_entry_and_a_plain_key_are_dropped_where_they_are(store: Store):
    for name in ("first", "second"):
        with serving(name):
            caches["tenants"].set("key", 1)
            remember(store, "page", name, "a")
    with serving("first"):
        entry, key = store.entry_place("page"), store.place("key")
    with serving("second"):
        store.fence([], [entry], "writer")
        store.deliver(Delivery(token="writer", entries=[entry], keys=[key]))
        assert (recall(store, "page", "a"), caches["tenants"].get("key")) == ("second", 1)
    with serving("first"):
        assert (recall(store, "page", "a"), caches["tenants"].get("key")) == (MISS, None)


def test_names_that_are_long_or_odd_are_those_of_a_tenant_as_well(store: Store):
    for name in ("first", "second"):
        with serving(name):
            remember(store, "ü" * 150, name, "ä" * 150)
    for name in ("first", "second"):
        with serving(name):
            assert recall(store, "ü" * 150, "ä" * 150) == name


def test_locks_are_those_of_a_tenant(store: Store):
    with serving("first"):
        assert store.acquire(store.entry_place("page"), "one", 60)
    with serving("second"):
        assert store.acquire(store.entry_place("page"), "two", 60)
        assert not store.acquire(store.entry_place("page"), "three", 60)
