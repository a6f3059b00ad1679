"""What holds for one entry that is invalidated by its own name, whichever cache is behind it."""

from typing import Any

import pytest
from django.core.cache import caches

from cache_invalidation.stores import django_cache
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.messages import entry_name
from cache_invalidation.stores.redis import store as redis_stores
from cache_invalidation.stores.redis.store import RedisStore
from tests.stores.steps import MISS, briefly, drop, keep, recall, remember, sample, wait_until


def test_an_invalidated_entry_keeps_out_a_value_that_was_computed_before(store: Store):
    before = sample(store, "page", "a")
    store.fence([], [store.entry_place("page")], "writer")
    assert store.lookup(store.entry_place("page"), ["a"]).entry_fenced
    assert not keep(store, "page", "old", before)
    drop(store, token="writer", entries=("page",))
    assert not store.lookup(store.entry_place("page"), ["a"]).entry_fenced
    assert not keep(store, "page", "old", before)
    assert recall(store, "page", "a") == MISS


def test_an_invalidated_entry_lets_in_a_value_that_is_computed_afterwards(store: Store):
    remember(store, "page", "old", "a")
    remember(store, "other", "kept", "a")
    drop(store, token="writer", entries=("page",))
    assert recall(store, "page", "a") == MISS
    remember(store, "page", "new", "a")
    assert recall(store, "page", "a") == "new"
    assert recall(store, "other", "a") == "kept"


def test_an_entry_invalidated_twice_keeps_out_what_was_computed_in_between(store: Store):
    drop(store, token="first", entries=("page",))
    between = sample(store, "page", "a")
    drop(store, token="second", entries=("page",))
    assert not keep(store, "page", "old", between)


def test_a_value_computed_before_stays_out_when_somebody_has_refilled_in_between(store: Store):
    before = sample(store, "page", "a")
    drop(store, token="writer", entries=("page",))
    remember(store, "page", "new", "a")
    assert not keep(store, "page", "old", before)
    assert recall(store, "page", "a") == "new"


def test_a_value_computed_before_stays_out_when_the_new_one_has_expired(store: Store):
    before = sample(store, "page", "a")
    drop(store, token="writer", entries=("page",))
    remember(store, "page", "new", "a", timeout=1)
    wait_until(lambda: recall(store, "page", "a") == MISS)
    assert not keep(store, "page", "old", before)


def test_a_refresh_that_began_before_is_refused_as_well(store: Store):
    remember(store, "page", "first", "a")
    before = sample(store, "page", "a")
    drop(store, token="writer", entries=("page",))
    remember(store, "page", "new", "a")
    assert not keep(store, "page", "old", before)
    assert recall(store, "page", "a") == "new"


def test_a_value_computed_before_stays_out_after_the_lag_of_the_replicas(store: Store, settings):
    before = sample(store, "page", "a")
    store.fence([], [store.entry_place("page")], "writer")
    briefly(settings, "REPLICA_LAG", lambda: drop(store, token="writer", entries=("page",)))
    wait_until(lambda: not store.lookup(store.entry_place("page"), ["a"]).entry_fenced)
    assert not keep(store, "page", "old", before)
    remember(store, "page", "new", "a")
    assert recall(store, "page", "a") == "new"


def test_a_value_computed_before_stays_out_after_the_writer_was_killed(store: Store, settings):
    before = sample(store, "page", "a")
    briefly(
        settings, "FENCE_TIMEOUT", lambda: store.fence([], [store.entry_place("page")], "killed")
    )
    wait_until(lambda: not store.lookup(store.entry_place("page"), ["a"]).entry_fenced)
    assert not keep(store, "page", "old", before)
    remember(store, "page", "new", "a")
    assert recall(store, "page", "a") == "new"


def test_a_writer_that_comes_back_late_drops_what_was_stored_meanwhile(store: Store, settings):
    briefly(settings, "FENCE_TIMEOUT", lambda: store.fence([], [store.entry_place("page")], "slow"))
    wait_until(lambda: not store.lookup(store.entry_place("page"), ["a"]).entry_fenced)
    remember(store, "page", "old", "a")
    between = sample(store, "page", "a")
    drop(store, token="slow", entries=("page",))
    assert recall(store, "page", "a") == MISS
    assert not keep(store, "page", "old", between)


def test_an_old_value_that_slips_in_between_look_and_store_is_not_served(store: Store):
    remember(store, "page", "old", "a")
    put_back = stored_bytes(store, "page")
    drop(store, token="writer", entries=("page",))
    put_back()
    found = store.lookup(store.entry_place("page"), ["a"])
    assert found.entry is not None
    assert not found.entry.is_valid(found.versions)


def stored_bytes(store: Store, entry: str) -> Any:
    """Return what puts back what stands in the place of `entry` now, whoever has replaced it."""
    if isinstance(store, RedisStore):
        client, name = store._codec.get_client(), store.entry_place(entry)
        raw = client.get(name)
        return lambda: client.set(name, raw)
    cache, value = caches[store.alias], caches[store.alias].get(entry_name(entry))
    return lambda: cache.set(entry_name(entry), value, 60)


def test_an_entry_that_was_invalidated_once_is_kept_as_long_as_any_other(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    for module in (django_cache, redis_stores):
        monkeypatch.setattr(module, "MARK_TIMEOUT", 1)
    drop(store, token="writer", entries=("page", "other"))
    # In a second the mark may lapse in between; then it is another one.
    wait_until(lambda: keep(store, "page", "new", sample(store, "page", "a")))
    wait_until(lambda: store.lookup(store.entry_place("other"), ["a"]).mark == "")
    assert recall(store, "page", "a") == "new"
