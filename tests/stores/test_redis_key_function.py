"""A ``KEY_FUNCTION`` may answer differently each time, such as by the tenant that is served."""

from typing import Any

import pytest
import redis

from cache_invalidation.exceptions import StoreRefused, StoreUnavailable
from cache_invalidation.stores.redis.store import RedisStore
from cache_invalidation.tags import ROOT
from example_project.servers import ValkeyServer
from tests.stores.steps import MISS, drop, keep, recall, remember, sample, wait_until
from tests.tenants import serving


def strict_key(key: str, key_prefix: str, version: int) -> str:
    if "*" in key:
        raise ValueError("no such key")
    return f"{key_prefix}:{version}:{key}"


@pytest.fixture
def processes(settings: Any) -> tuple[RedisStore, RedisStore]:
    """The same store twice, as two processes have it, made while the tenant "first" is served."""
    default = settings.CACHES["default"] | {"KEY_FUNCTION": "tests.tenants.by_tenant"}
    settings.CACHES = settings.CACHES | {"default": default}
    settings.CACHE_INVALIDATION = {"RETRY_INTERVAL": 0.01}
    with serving("first"):
        return RedisStore("default"), RedisStore("default")


def test_tenants_do_not_share_entries(processes: tuple[RedisStore, RedisStore]) -> None:
    store, _ = processes
    with serving("first"):
        remember(store, "page", "value", "a")
    with serving("second"):
        assert recall(store, "page", "a") == MISS
    with serving("first"):
        assert recall(store, "page", "a") == "value"


def test_a_process_that_served_another_tenant_before_notices_the_write(
    processes: tuple[RedisStore, RedisStore],
) -> None:
    reader, writer = processes
    with serving("first"):
        reader.versions(["a"])
    with serving("second"):
        assert keep(reader, "page", "old", sample(reader, "page", "a"))
        writer.fence(["a"], [], "writer")
        drop(writer, "a")
        assert recall(reader, "page", "a") == MISS


def test_a_write_for_one_tenant_is_one_for_all_of_them(
    processes: tuple[RedisStore, RedisStore],
) -> None:
    reader, writer = processes
    for name in ("first", "second"):
        with serving(name):
            remember(reader, "page", name, "a")
    with serving("second"):
        drop(writer, "a")
    for name in ("first", "second"):
        with serving(name):
            assert recall(reader, "page", "a") == MISS


def test_a_server_restarted_from_an_old_snapshot_serves_nothing_old_to_any_tenant(
    settings: Any, valkey: ValkeyServer
) -> None:
    config = settings.CACHES["default"] | {
        "KEY_FUNCTION": "tests.tenants.by_tenant",
        "LOCATION": valkey.url,
    }
    settings.CACHES = settings.CACHES | {"default": config}
    store, tenants = RedisStore("default"), ("first", "second", "third")
    for name in tenants:
        with serving(name):
            remember(store, "page", "old", "*", "a")
    with redis.Redis.from_url(valkey.url) as client:
        client.save()
    for name in tenants:
        with serving(name):
            drop(store, "a")
    valkey.kill()
    valkey.start()
    with redis.Redis.from_url(valkey.url) as client:
        assert len(client.keys("*:ci:e:*")) == 3
        assert client.keys("*:ci:t:a") == [b"test:1:ci:t:a"]
    for process in (store, RedisStore("default")):
        for name in tenants:
            with serving(name):
                assert recall(process, "page", "*", "a") == MISS
    for name in tenants:
        with serving(name):
            remember(store, "page", "new", "*", "a")
            assert recall(RedisStore("default"), "page", "*", "a") == "new"


def test_after_an_outage_everything_of_every_tenant_is_dropped(
    processes: tuple[RedisStore, RedisStore],
) -> None:
    store, _ = processes
    for name in ("first", "second"):
        with serving(name):
            remember(store, "page", "value", ROOT, "a")
    store.distrust(StoreUnavailable("once"))
    wait_until(lambda: store.breaker.is_working)
    for name in ("first", "second"):
        with serving(name):
            assert recall(store, "page", ROOT, "a") == MISS


def test_a_key_function_that_refuses_a_pattern_is_no_outage(settings: Any) -> None:
    default = settings.CACHES["default"] | {"KEY_FUNCTION": f"{__name__}.strict_key"}
    settings.CACHES = settings.CACHES | {"default": default}
    store = RedisStore("default")
    with pytest.raises(StoreRefused, match="KEY_FUNCTION"):
        store.pattern_place("list:*")
    assert store.breaker.outages == 0
