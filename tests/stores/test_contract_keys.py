"""The rest of the contract: locks, plain keys, patterns, counters."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.cache import caches

from cache_invalidation.exceptions import PatternsNotSupported
from cache_invalidation.stores import django_counters, get_store
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.messages import Delivery
from cache_invalidation.stores.redis import counters as redis_counters
from tests.stores.steps import MISS, drop, recall, remember, wait_until


def this_minute() -> int:
    return int(time.time() // 60)


def counted(store: Store) -> dict[str, str]:
    """Return the counters without the notes beside them."""
    return {k: v for k, v in store.counters().items() if k not in ("since", "last")}


def test_a_store_is_made_once(store: Store):
    assert get_store(store.alias) is store
    assert get_store() is store
    assert store.condition().problem is None


def test_one_caller_at_a_time_holds_the_lock_of_an_entry(store: Store):
    assert store.acquire(store.entry_place("page"), "first", 60)
    assert not store.acquire(store.entry_place("page"), "second", 60)
    assert store.acquire(store.entry_place("other page"), "second", 60)
    store.release(store.entry_place("page"), "second")
    assert not store.acquire(store.entry_place("page"), "third", 60)
    store.release(store.entry_place("page"), "first")
    assert store.acquire(store.entry_place("page"), "third", 60)


def test_a_lock_times_out(store: Store):
    assert store.acquire(store.entry_place("page"), "killed", 0.2)
    wait_until(lambda: store.acquire(store.entry_place("page"), "next", 60))


def test_plain_keys_are_deleted_along_with_the_tags(store: Store):
    cache = caches[store.alias]
    cache.set_many({"product-detail:1": 1, "product-detail:2": 2})
    # A name that Memcached refuses, so that the project cannot have stored anything under it.
    odd = ["with a space"] if store.alias in ("default", "memcached") else []
    remember(store, "page", "value", "a")
    keys = ["product-detail:1", "unknown", *odd]
    places = [store.place(key) for key in keys]
    store.deliver(Delivery(token="t", tags=["a"], keys=places, counts={"keys": 3}))
    assert cache.get("product-detail:1") is None
    assert cache.get("product-detail:2") == 2
    assert recall(store, "page", "a") == MISS
    assert counted(store) == {"keys": "3"}


def test_a_delivery_of_hundreds_of_tags_and_keys_drops_all_of_them(store: Store):
    tags, keys = [f"tag:{n}" for n in range(300)], [f"key:{n}" for n in range(300)]
    cache = caches[store.alias]
    cache.set_many(dict.fromkeys(keys[::30], 1))
    minted = store.mint(tags[::30], 60)
    store.fence(tags, [], "writer")
    places = [store.place(key) for key in keys]
    store.deliver(Delivery(token="writer", tags=tags, keys=places))
    assert store.versions(list(minted)) == dict.fromkeys(minted)
    assert cache.get_many(keys) == {}


def test_emptying_the_cache_costs_misses_and_nothing_else(store: Store):
    remember(store, "page", "value", "a")
    caches[store.alias].clear()
    assert recall(store, "page", "a") == MISS
    remember(store, "page", "value", "a")
    assert recall(store, "page", "a") == "value"


def test_keys_are_deleted_by_pattern_where_the_cache_can_list_them(store: Store):
    cache = caches[store.alias]
    names = ["list:1:a", "list:1:b", "list:2:a", "list:1", "big-list:1:a"]
    cache.set_many(dict.fromkeys(names, 1))
    if not store.supports_patterns:
        with pytest.raises(PatternsNotSupported, match=store.alias):
            store.delete_patterns([store.pattern_place("list:1:*")])
        assert store.breaker.is_working
        return
    assert store.delete_patterns([store.pattern_place("list:1:*")]) == 2
    assert sorted(cache.get_many(names)) == ["big-list:1:a", "list:1", "list:2:a"]


@pytest.mark.parametrize(
    ("pattern", "matching"),
    [
        ("a?c", {"abc", "a*c", "a[c"}),
        (r"a\*c", {"a*c"}),
        (r"a\[c", {"a[c"}),
        ("a[bx]c", {"abc"}),
        ("a[^b]c", {"a*c", "a[c"}),
        ("[a-b]bc", {"abc"}),
        ("ABC", set()),
        ("ü*", {"über"}),
    ],
)
def test_patterns_mean_what_redis_says(store: Store, pattern: str, matching: set[str]):
    if not store.supports_patterns:
        pytest.skip("this cache cannot list its keys")
    cache = caches[store.alias]
    names = {"abc", "a*c", "a[c", "xabc", "über"}
    cache.set_many(dict.fromkeys(names, 1))
    assert store.delete_patterns([store.pattern_place(pattern)]) == len(matching)
    assert set(cache.get_many(names)) == names - matching


def test_a_pattern_never_deletes_entries_versions_or_counters(store: Store):
    if not store.supports_patterns:
        pytest.skip("this cache cannot list its keys")
    remember(store, "page", "value", "a")
    store.fence(["fenced"], [], "writer")
    store.count({"hits": 1})
    caches[store.alias].set_many({"cinema": 1, "ci": 2})
    assert store.delete_patterns(map(store.pattern_place, ["ci:*", "*"])) == 2
    assert recall(store, "page", "a") == "value"
    assert store.versions(["fenced"])["fenced"] is not None
    assert counted(store) == {"hits": "1"}


def test_counts_add_up(store: Store):
    assert store.counters() == {}
    store.count({"hits": 2, "hits:page größe": 2})
    store.count({"hits": 3, "misses": 1})
    assert counted(store) == {"hits": "5", "hits:page größe": "2", "misses": "1"}


def test_counts_are_also_kept_by_the_minute(store: Store):
    first = this_minute()
    store.count({"hits": 2})
    store.count({"hits": 1, "misses": 1})
    minutes = [first - 1, first, first + 1, first + 2]
    before, *during = store.counters_per_minute(minutes)
    assert before == {}
    assert sum(counts.get("hits", 0) for counts in during) == 3
    assert sum(counts.get("misses", 0) for counts in during) == 1


def test_a_delivery_counts_and_is_remembered_as_the_last(store: Store):
    store.deliver(Delivery(token="t", tags=["a"], counts={"tags": 1}, last="first"))
    store.deliver(Delivery(token="t", tags=["a"], counts={"tags": 1, "keys": 2}, last="second"))
    assert counted(store) == {"tags": "2", "keys": "2"}
    assert store.counters()["last"] == "second"


def test_a_delivery_without_counts_counts_nothing(store: Store):
    drop(store, "a")
    assert store.counters() == {}


def test_since_is_when_counting_began(store: Store):
    store.count({"hits": 1})
    since = store.counters()["since"]
    store.count({"hits": 1})
    assert store.counters()["since"] == since
    store.reset_counters()
    assert store.counters()["since"] > since


def test_a_reset_leaves_no_counter_and_touches_nothing_else(store: Store):
    remember(store, "page", "value", "a")
    minute = this_minute()
    store.deliver(Delivery(token="t", counts={"tags": 1}, last="x"))
    store.reset_counters()
    assert list(store.counters()) == ["since"]
    assert store.counters_per_minute([minute - 1, minute, minute + 1]) == [{}, {}, {}]
    assert recall(store, "page", "a") == "value"
    store.count({"tags": 1})
    assert counted(store) == {"tags": "1"}


def test_what_was_learned_adds_up(store: Store):
    assert store.learned() == {}
    store.count({}, learned={"page größe": ["a", "b:*"], "other": ["c"]})
    store.count({"hits": 1}, learned={"page größe": ["b:*", "d"]})
    assert store.learned() == {"page größe": {"a", "b:*", "d"}, "other": {"c"}}
    assert counted(store) == {"hits": "1"}


def test_what_was_learned_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch):
    for module in (django_counters, redis_counters):
        monkeypatch.setattr(module, "NAMES_FOUND", 2)
        monkeypatch.setattr(module, "TAGS_FOUND", 3)
    store.count({}, learned={"one": ["a", "b"]})
    store.count({}, learned={"two": ["a"]})
    store.count({}, learned={"three": ["a"], "one": ["c", "d"]})
    assert store.learned() == {"one": {"a", "b", "c"}, "two": {"a"}}


def test_a_reset_forgets_what_was_learned(store: Store):
    store.count({}, learned={"page": ["a"]})
    store.reset_counters()
    assert store.learned() == {}
    store.count({}, learned={"page": ["b"]})
    assert store.learned() == {"page": {"b"}}


def test_calls_add_up_and_the_most_frequent_come_first(store: Store):
    assert store.calls() == {}
    store.count_calls({b"a\xff\n": 1, b"b": 3})
    store.count_calls({b"a\xff\n": 4})
    assert list(store.calls().items()) == [(b"a\xff\n", 5), (b"b", 3)]


def test_a_call_without_room_takes_the_place_of_the_rarest(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    for module in (django_counters, redis_counters):
        monkeypatch.setattr(module, "CALLS", 2)
    store.count_calls({b"often": 9, b"rare": 2})
    store.count_calls({b"new": 1})
    assert store.calls() == {b"often": 9, b"new": 3}
    store.count_calls({b"often": 1, b"newer": 8})
    assert store.calls() == {b"newer": 11, b"often": 10}


def test_calls_of_long_ago_fade(store: Store, monkeypatch: pytest.MonkeyPatch):
    for module in (django_counters, redis_counters):
        monkeypatch.setattr(module, "CALLS_FADE", 10)
    store.count_calls({b"a": 9, b"b": 8})
    store.count_calls({b"a": 1})
    assert store.calls() == {b"a": 5, b"b": 4}


def test_a_reset_forgets_the_calls(store: Store):
    store.count_calls({b"a": 9})
    store.reset_counters()
    assert store.calls() == {}


def test_threads_that_count_at_the_same_time_lose_nothing(store: Store):
    if store.uses_database or store.alias == "memcached":
        pytest.skip("threads share neither this connection nor one count")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: store.count({"hits": 1, f"hits:{n % 7}": 1}), range(300)))
    totals = {name: int(count) for name, count in counted(store).items()}
    assert totals.pop("hits") == 300
    assert len(totals) == 7
    assert sum(totals.values()) == 300
