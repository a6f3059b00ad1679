"""How entries and versions lie in Redis, and what a restart does to them."""

import contextvars
import json
import subprocess
import sys
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.cache import caches

from cache_invalidation.stores import get_store
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.messages import NOTE_SIZE, NOTES, Delivery
from cache_invalidation.stores.redis.store import RedisStore
from example_project.servers import ValkeyServer
from tests.stores.steps import MISS, drop, keep, recall, remember, sample, wait_until

ROOT = Path(__file__).resolve().parents[2]


def shouting_key(key: str, key_prefix: str, version: int) -> str:
    return f"{key_prefix}|{version}|{key}!"


def alias_with(settings: Any, **config: Any) -> Store:
    """Return the store of an alias that differs from the default one as given."""
    settings.CACHES = settings.CACHES | {"special": settings.CACHES["default"] | config}
    return get_store("special")


def use_every_name(store: Store) -> None:
    remember(store, "page", "value", "*", "a")
    store.fence(["fenced"], [store.entry_place("entry")], "writer")
    store.acquire(store.entry_place("page"), "token", 60)
    drop(store, "dropped", entries=("dropped",))
    store.count({"hits": 1})


@pytest.fixture
def private(settings: Any, valkey: ValkeyServer) -> Store:
    """The default store, on a server that the test may kill."""
    settings.CACHES = settings.CACHES | {
        "default": settings.CACHES["default"] | {"LOCATION": valkey.url}
    }
    return get_store()


def test_every_name_goes_through_the_prefix_and_the_version(settings, redis_client):
    use_every_name(alias_with(settings, KEY_PREFIX="mine", VERSION=7))
    names = redis_client.keys()
    assert len(names) >= 7
    assert [name for name in names if not name.startswith(b"mine:7:ci:")] == []


def test_entries_are_where_the_key_function_says_and_what_all_share_is_not(settings, redis_client):
    store = alias_with(settings, KEY_PREFIX="p", KEY_FUNCTION=f"{__name__}.shouting_key")
    use_every_name(store)
    entries = {f"p|1|ci:e:{name}!" for name in ("page", "entry")}
    names = {name.decode() for name in redis_client.scan_iter()}
    assert {name for name in names if not name.startswith("p:1:ci:")} == entries
    assert len(names - entries) >= 5


@pytest.mark.parametrize("config", [{"KEY_PREFIX": "mine"}, {"VERSION": 2}])
def test_aliases_with_other_names_share_nothing(settings, config: dict[str, Any]):
    special, default = alias_with(settings, **config), get_store()
    use_every_name(default)
    assert special.versions(["a", "fenced"]) == {"a": None, "fenced": None}
    assert special.counters() == {}
    drop(special, "a")
    assert recall(default, "page", "a", "*") == "value"


def test_values_go_through_the_serializer_and_the_compressor(redis_client):
    remember(get_store("zlib"), "page", {"list": ["value"] * 100}, "a")
    raw = redis_client.get("zlib:1:ci:e:page")
    assert json.loads(zlib.decompress(raw[10 + raw[9] :])) == {"list": ["value"] * 100}
    assert len(raw) < 150


@pytest.mark.parametrize("kind", [5, 6])
def test_a_tracked_key_as_it_was_laid_out_before_is_none_and_in_nobodys_way(
    settings, redis_client, kind
):
    settings.CACHE_INVALIDATION = {"CACHE": "tracked"}
    cache, place = caches["tracked"], get_store("tracked").entry_place("k:1:product:1")
    assert contextvars.Context().run(set_after_get, cache, "old")
    raw = redis_client.get(place)
    redis_client.set(place, bytes([kind]) + raw[1:9] + b"1234" + raw[9:])
    assert cache.get("product:1") is None
    assert not cache.has_key("product:1")
    assert contextvars.Context().run(cache.add, "product:1", "new")
    assert cache.get("product:1") == "new"


def set_after_get(cache: Any, value: str) -> Any:
    cache.get("product:1")
    return cache.set("product:1", value)


def test_what_a_compressor_begins_with_is_no_kind_of_entry(redis_store, redis_client):
    lz4 = b"\x04\x22\x4d\x18 and so on"
    redis_client.set(redis_store.entry_place("page"), lz4)
    found = redis_store.lookup(redis_store.entry_place("page"), [])
    assert (found.entry, found.plain) == (None, lz4)


def test_a_value_that_cannot_be_decoded_any_more_is_a_value_error():
    remember(get_store("default"), "page", ["pickled"], "a")
    found = get_store("default").lookup(get_store("default").entry_place("page"), ["a"])
    assert found.entry is not None
    with pytest.raises(ValueError, match="unreadable"):
        get_store("zlib").decode(found.entry.payload)


def test_what_is_kept_for_ever_has_no_expiry(redis_store, redis_client):
    redis_store.mint(["a"], 60)
    remember(redis_store, "page", "value", "a", "b", timeout=None)
    assert [redis_client.ttl(f"test:1:ci:{n}") for n in ("e:page", "t:a", "t:b")] == [-1] * 3


def test_versions_live_longer_than_the_entries_that_use_them(redis_store, redis_client):
    remember(redis_store, "short", "value", "a", timeout=60)
    remember(redis_store, "long", "value", "a", timeout=600)
    remember(redis_store, "short again", "value", "a", timeout=60)
    remember(redis_store, "short forever", "value", "b", timeout=None)
    remember(redis_store, "short last", "value", "b", timeout=60)
    assert redis_client.ttl("test:1:ci:t:a") > redis_client.ttl("test:1:ci:e:long") > 500
    assert redis_client.ttl("test:1:ci:t:b") == -1


def test_filling_never_prolongs_a_fence(redis_store, redis_client, settings):
    settings.CACHE_INVALIDATION |= {"FENCE_TIMEOUT": 100}
    before = sample(redis_store, "page", "a", "b", timeout=None)
    redis_store.fence(["b"], [], "writer")
    assert not keep(redis_store, "page", "value", before, timeout=None)
    assert 0 < redis_client.ttl("test:1:ci:t:b") <= 100


def test_patterns_are_deleted_in_the_own_prefix_and_version_only(settings, redis_client):
    store = alias_with(settings, KEY_PREFIX="a[b]*")
    caches["special"].set_many({"list:1": 1, "list:2": 1, "other": 1})
    others = ["ab:1:list:1", "a[b]x:1:list:1", "a[b]*:2:list:1", "a[b]*:11:list:1", "list:1"]
    redis_client.mset(dict.fromkeys(others, 1))
    assert store.delete_patterns([store.pattern_place("list:*")]) == 2
    assert {name.decode() for name in redis_client.keys("*")} == {*others, "a[b]*:1:other"}


def test_deleting_by_pattern_needs_no_memory_for_the_names(redis_store, redis_client):
    for start in range(0, 50_000, 5_000):
        names = range(start, start + 5_000)
        redis_client.mset({f"test:1:product-list:{n:020}": 1 for n in names})
    redis_store.delete_patterns([redis_store.pattern_place("warm up")])
    tracemalloc.start()
    try:
        assert redis_store.delete_patterns([redis_store.pattern_place("product-list:*")]) == 50_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_500_000  # bytes; the names alone are 4 million
    assert redis_client.dbsize() == 0


def test_replicas_of_the_cache_are_never_asked(settings, redis_url):
    store = alias_with(settings, LOCATION=[redis_url, "unix:///nobody-listens-here.sock"])
    for number in range(20):
        remember(store, f"page {number}", "value", "a")
        assert recall(store, f"page {number}", "a") == "value"
    store.deliver(Delivery(token="t", tags=["a"], keys=["k"], counts={"tags": 1}))
    assert store.delete_patterns([store.pattern_place("k*")]) == 0
    assert store.breaker.is_working


def test_readers_who_mint_at_the_same_time_agree(redis_store):
    with ThreadPoolExecutor(8) as pool:
        for number in range(50):
            minted = list(pool.map(lambda _, tag=f"t{number}": redis_store.mint([tag], 60), "1234"))
            assert minted == [redis_store.versions([f"t{number}"])] * 4


def test_a_server_restarted_from_an_old_snapshot_serves_nothing_old(private, valkey):
    remember(private, "page", "old", "*", "a")
    with redis.Redis.from_url(valkey.url) as client:
        client.save()
    drop(private, "a")
    valkey.kill()
    valkey.start()
    with redis.Redis.from_url(valkey.url) as client:
        assert client.exists("test:1:ci:e:page", "test:1:ci:t:a", "test:1:ci:t:*") == 3
    assert recall(private, "page", "*", "a") == MISS
    remember(private, "page", "new", "*", "a")
    private.close()
    assert recall(private, "page", "*", "a") == "new"


def test_a_new_process_notices_the_old_snapshot_too(private, valkey):
    remember(private, "page", "old", "*", "a")
    with redis.Redis.from_url(valkey.url) as client:
        client.save()
    drop(private, "a")
    valkey.kill()
    valkey.start()
    assert recall(RedisStore("default"), "page", "*", "a") == MISS


def test_new_connections_to_the_same_server_keep_everything(redis_store):
    remember(redis_store, "page", "value", "*", "a")
    for _ in range(3):
        redis_store.close()
        assert recall(redis_store, "page", "*", "a") == "value"
    assert recall(RedisStore("default"), "page", "*", "a") == "value"


def test_a_server_restarted_empty_costs_misses(private, valkey):
    remember(private, "page", "value", "*", "a")
    valkey.kill()
    valkey.start()
    assert recall(private, "page", "*", "a") == MISS
    remember(private, "page", "value", "*", "a")
    assert recall(private, "page", "*", "a") == "value"
    assert private.breaker.outages == 0


def test_connections_that_the_server_closed_cost_no_error(redis_store, redis_client):
    steps = [
        lambda: recall(redis_store, "page", "a"),
        lambda: redis_store.versions(["a"]),
        lambda: remember(redis_store, "page", "value", "a"),
        lambda: redis_store.fence(["b"], [], "writer"),
        lambda: drop(redis_store, "b", token="writer"),
        lambda: redis_store.count({"hits": 1}),
        lambda: redis_store.counters(),
        lambda: redis_store.delete_patterns([redis_store.pattern_place("x*")]),
    ]
    for step in steps:
        step()
        assert redis_client.client_kill_filter(_type="normal", skipme=True) > 0
        step()
    assert redis_store.breaker.outages == 0


def test_a_forked_process_gets_connections_of_its_own():
    code = """
import os, django; django.setup()
from cache_invalidation.stores import get_store
from tests.stores.steps import recall, remember
store = get_store()
remember(store, "page", "shared", "*", "a")
children = []
for number in range(4):
    child = os.fork()
    if not child:
        status = 1
        try:
            for turn in range(200):
                remember(store, f"page {number}", [number, turn], f"tag {number}")
                assert recall(store, f"page {number}", f"tag {number}") == [number, turn]
                assert recall(store, "page", "*", "a") == "shared"
            status = 0
        finally:
            os._exit(status)
    children.append(child)
for turn in range(200):
    assert recall(store, "page", "*", "a") == "shared"
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
"""
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_a_user_who_may_not_ask_for_info_is_served_and_warned(settings, valkey, caplog):
    with redis.Redis.from_url(valkey.url) as client:
        client.acl_setuser(
            "limited", enabled=True, passwords=["+secret"], keys=["*"], categories=["+@all"],
            commands=["-info"],
        )  # fmt: skip
    url = f"unix://limited@{valkey.socket}?db=0&password=secret"
    store = alias_with(settings, LOCATION=url)
    remember(store, "page", "value", "*", "a")
    assert recall(store, "page", "*", "a") == "value"
    drop(store, "a")
    assert recall(store, "page", "*", "a") == MISS
    assert "INFO is refused" in caplog.text
    assert "secret" not in caplog.text
    assert store.condition().problem is None


def test_an_unread_tag_leaves_nothing_behind(redis_store, redis_client, settings):
    tags = [f"tag:{number}" for number in range(2_000)]
    redis_store.fence(tags, [], "writer")
    assert redis_client.dbsize() == len(tags)
    drop(redis_store, *tags, token="writer")
    assert redis_client.dbsize() == 0
    settings.CACHE_INVALIDATION = {"FENCE_TIMEOUT": 0.2}
    redis_store.fence(tags, [], "killed")
    wait_until(lambda: redis_client.dbsize() == 0)


def test_notes_take_what_they_need_and_not_twice_as_much(redis_store, redis_client):
    for place in range(0, NOTES, NOTES // 50):
        redis_store.count({"hits": 1}, notes={place: b"n" * NOTE_SIZE})
    (key,) = redis_client.scan_iter("*:notes")
    assert redis_client.strlen(key) == NOTES * NOTE_SIZE
    assert redis_client.memory_usage(key) < 1.2 * NOTES * NOTE_SIZE
    assert redis_store.notes([0, 1]) == {0: b"n" * NOTE_SIZE, 1: b"\0" * NOTE_SIZE}


def test_a_tag_takes_the_same_memory_however_often_it_is_written(redis_store, redis_client):
    for number in range(300):
        redis_store.fence(["a"], [], f"writer{number}")
        drop(redis_store, "a", token=f"writer{number}")
        remember(redis_store, "page", "value", "a")
    assert redis_client.memory_usage("test:1:ci:t:a") < 150  # bytes
    assert redis_client.dbsize() == 2
