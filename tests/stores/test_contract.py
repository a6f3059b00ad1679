"""What readers and writers may rely on, whichever cache is behind the store."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from cache_invalidation.exceptions import StoreRefused
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.messages import Filling, is_fence
from tests.stores.steps import (
    MISS,
    briefly,
    drop,
    is_fenced,
    keep,
    recall,
    remember,
    sample,
    wait_until,
)

ODD_TAGS = [
    "shop.product:42",
    "with a space",
    "trailing:",
    "größe:ß → 漢字 🎈",
    "quotes'\"\\%s{}*?[]",
    "e" * 250,
    "ü" * 250,
]

VALUES: list[Any] = [
    0,
    -1,
    2**63,
    1.5,
    True,
    None,
    "",
    "text ü 漢字",
    "x" * 500_000,
    [],
    {"a": [1, None]},
]


def test_an_empty_store_finds_nothing(store: Store):
    found = store.lookup(store.entry_place("page"), ["a", "b"])
    assert found.entry is None
    assert found.versions == {"a": None, "b": None}
    assert found.mark == ""
    assert not found.entry_fenced


def test_what_was_stored_is_found(store: Store):
    remember(store, "page", "value", "a", "b")
    assert recall(store, "page", "a", "b") == "value"
    assert recall(store, "other page", "a", "b") == MISS


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_a_value_comes_back_as_it_was(store: Store, value):
    remember(store, "page", value, "a")
    found = recall(store, "page", "a")
    assert found == value
    assert type(found) is type(value)


def test_bytes_come_back_as_they_were(store: Store):
    if store.alias == "zlib":
        pytest.skip("JSON has no bytes")
    value = bytes(range(256)) * 10
    remember(store, "page", value, "a")
    assert recall(store, "page", "a") == value


def test_a_value_that_cannot_be_serialised_is_no_failure_of_the_store(store: Store):
    before = sample(store, "page", "a")
    with pytest.raises(Exception, match=r"pickle|JSON") as caught:
        keep(store, "page", threading.Lock(), before)
    assert isinstance(caught.value, TypeError | AttributeError)
    assert store.breaker.is_working


def test_a_value_that_is_too_big_for_the_cache_is_no_outage(store: Store):
    stored = keep(store, "page", "x" * 3_000_000, sample(store, "page", "a"))
    assert (recall(store, "page", "a") != MISS) == stored
    assert store.breaker.outages == 0


def test_an_unreadable_payload_is_a_value_error(store: Store):
    with pytest.raises(ValueError, match="unreadable"):
        store.decode(b"\x00garbage")


def test_further_tags_are_kept_with_the_entry(store: Store):
    versions = store.mint(["a", "b", "größe:1"], 60)
    assert store.fill(
        Filling(
            entry=store.entry_place("page"),
            payload=store.encode("value"),
            versions=versions,
            further=("b", "größe:1"),
            timeout=60,
        )
    )
    found = store.lookup(store.entry_place("page"), ["a"])
    assert found.entry is not None
    assert tuple(found.entry.further) == ("b", "größe:1")
    assert found.entry.is_valid(store.versions(["a", "b", "größe:1"]))


@pytest.mark.parametrize("tag", ODD_TAGS, ids=lambda tag: tag[:12])
def test_a_tag_can_be_spelled_in_any_way(store: Store, tag: str):
    remember(store, "page", "value", tag)
    remember(store, f"page of {tag}", "value", tag)
    assert recall(store, f"page of {tag}", tag) == "value"
    drop(store, tag)
    assert recall(store, "page", tag) == MISS


def test_two_long_tags_with_the_same_beginning_are_two_tags(store: Store):
    first, second = "e" * 249 + "1", "e" * 249 + "2"
    remember(store, "first", 1, first)
    remember(store, "second", 2, second)
    drop(store, first)
    assert recall(store, "first", first) == MISS
    assert recall(store, "second", second) == 2


def test_minting_keeps_what_is_there(store: Store):
    before = store.mint(["a"], 60)
    after = store.mint(["a", "b"], 60)
    assert after["a"] == before["a"]
    assert after["b"] not in (None, after["a"])
    assert store.versions(["a", "b"]) == after


def test_a_version_never_comes_back(store: Store):
    seen = set()
    for _ in range(20):
        seen.add(store.mint(["a"], 60)["a"])
        drop(store, "a")
    assert len(seen) == 20


def test_an_entry_is_invalid_once_one_of_its_tags_is_dropped(store: Store):
    remember(store, "page", "value", "a", "b")
    remember(store, "other", "value", "b")
    drop(store, "a")
    assert recall(store, "page", "a", "b") == MISS
    store.mint(["a"], 60)
    assert recall(store, "page", "a", "b") == MISS
    assert recall(store, "other", "b") == "value"


def test_a_value_computed_before_an_invalidation_is_refused_after_it(store: Store):
    before = sample(store, "page", "a", "b")
    drop(store, "b")
    assert not keep(store, "page", "old", before)
    store.mint(["b"], 60)
    assert not keep(store, "page", "old", before)
    assert recall(store, "page", "a", "b") == MISS


def test_a_refused_value_leaves_a_newer_one_alone(store: Store):
    before = sample(store, "page", "a")
    drop(store, "a")
    remember(store, "page", "new", "a")
    assert not keep(store, "page", "old", before)
    assert recall(store, "page", "a") == "new"


def test_nothing_is_valid_or_stored_under_a_fence(store: Store):
    remember(store, "page", "value", "a", "b")
    before = sample(store, "page", "a", "b")
    store.fence(["a"], [], "writer")
    assert is_fenced(store, "a")
    assert not is_fenced(store, "b")
    assert recall(store, "page", "a", "b") == MISS
    assert not keep(store, "page", "old", before)
    assert is_fence(store.mint(["a"], 60)["a"])
    assert is_fenced(store, "a")


def test_a_delivery_lifts_the_fence(store: Store):
    store.fence(["a"], [], "writer")
    drop(store, "a", token="writer")
    assert store.versions(["a"]) == {"a": None}
    remember(store, "page", "new", "a")
    assert recall(store, "page", "a") == "new"


def test_a_tag_stays_fenced_until_the_last_of_its_writers_is_done(store: Store):
    for token in ("first", "second", "third"):
        store.fence(["a"], [], token)
    drop(store, "a", token="second")
    assert is_fenced(store, "a")
    drop(store, "a", token="third")
    assert is_fenced(store, "a")
    drop(store, "a", token="first")
    assert store.versions(["a"]) == {"a": None}


def test_who_raised_no_fence_leaves_those_of_others(store: Store):
    store.fence(["a"], [], "writer")
    drop(store, "a", token="somebody who did not fence")
    assert is_fenced(store, "a")


def test_raising_the_same_fence_twice_is_raising_it_once(store: Store):
    store.fence(["a"], [], "writer")
    store.fence(["a"], [], "writer")
    drop(store, "a", token="writer")
    assert store.versions(["a"]) == {"a": None}


def test_fences_raised_at_the_same_moment_are_all_counted(store: Store):
    if not store.counts_fences:
        pytest.skip("this store may lose one of two simultaneous fences, and says so")
    tags, tokens = ["a", "b", "c"], [f"writer{n}" for n in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda token: store.fence(tags, [], token), tokens))
        list(pool.map(lambda token: drop(store, *tags, token=token), tokens[1:]))
    assert is_fenced(store, "a")
    drop(store, *tags, token=tokens[0])
    assert store.versions(tags) == dict.fromkeys(tags)


def lapses_early(store: Store, tag: str, since: float, seconds: float) -> bool:
    """Whether a tag that was fenced at `since` is not any more, though it should be."""
    return not is_fenced(store, tag) and time.monotonic() - since < seconds


def test_a_fence_lapses_and_the_tag_is_usable_again(store: Store, settings):
    began = time.monotonic()
    seconds = briefly(
        settings, "FENCE_TIMEOUT", lambda: store.fence(["a"], [store.entry_place("page")], "killed")
    )
    assert not lapses_early(store, "a", began, seconds)
    wait_until(lambda: store.versions(["a"]) == {"a": None})
    wait_until(lambda: not store.lookup(store.entry_place("page"), ["a"]).entry_fenced)
    remember(store, "page", "new", "a")
    assert recall(store, "page", "a") == "new"


def test_the_longest_of_several_fences_decides(store: Store, settings):
    settings.CACHE_INVALIDATION |= {"FENCE_TIMEOUT": 3600}
    store.fence(["a"], [], "slow")
    briefly(settings, "FENCE_TIMEOUT", lambda: store.fence(["a", "b"], [], "killed"))
    wait_until(lambda: not is_fenced(store, "b"))
    assert is_fenced(store, "a")
    # The one who was killed is timed out, and holds up nobody.
    drop(store, "a", token="slow")
    assert store.versions(["a"]) == {"a": None}


def test_a_fence_never_lapses_early(store: Store, settings):
    settings.CACHE_INVALIDATION |= {"FENCE_TIMEOUT": 1.0}
    raised: dict[str, float] = {}
    # At different moments within a second, since some caches round to whole ones.
    for number in range(10):
        began = time.monotonic()
        with suppress(StoreRefused):  # It had lapsed before the store had made sure of it.
            store.fence([f"tag{number}"], [], "writer")
            raised[f"tag{number}"] = began
        time.sleep(0.1)
        for tag, since in raised.items():
            assert not lapses_early(store, tag, since, 1.0)


def test_the_fence_stays_for_the_lag_of_the_replicas(store: Store, settings):
    settings.CACHE_INVALIDATION |= {"REPLICA_LAG": 3600}
    store.fence(["a"], [store.entry_place("page")], "writer")
    drop(store, "a", token="writer", entries=("page",))
    drop(store, "unfenced", token="writer")
    assert is_fenced(store, "a")
    assert is_fenced(store, "unfenced")
    assert store.lookup(store.entry_place("page"), ["a"]).entry_fenced


def test_the_lag_of_the_replicas_ends(store: Store, settings):
    store.fence(["a"], [], "writer")
    began = time.monotonic()
    seconds = briefly(settings, "REPLICA_LAG", lambda: drop(store, "a", token="writer"))
    assert not lapses_early(store, "a", began, seconds)
    wait_until(lambda: store.versions(["a"]) == {"a": None})


def test_the_versions_of_an_entry_outlive_it(store: Store):
    remember(store, "page", "value", "a", timeout=1)
    wait_until(lambda: store.lookup(store.entry_place("page"), ["a"]).entry is None)
    assert store.versions(["a"])["a"] is not None
