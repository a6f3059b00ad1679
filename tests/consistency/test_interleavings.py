"""The protocol, step by step, in every order. See `exploration`."""

import re
from dataclasses import replace
from typing import Any

import pytest
import redis
from django.core.cache import caches

from cache_invalidation.stores import django_cache, get_store, messages
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.messages import (
    Delivery,
    Filling,
    Versions,
    mark_name,
    seal,
    version_name,
)
from cache_invalidation.stores.redis.store import RedisStore
from tests.consistency.exploration import ENTRY, MARK, TAG, TAGS, Drops, Explorer, Raw, Reader


def keys_in(store: Store, tags: tuple[str, ...]) -> dict[str, str]:
    """Return under which keys the store keeps what is looked at."""
    place = store.entry_place(ENTRY)
    versions = {tag: store.shared(version_name(tag)) for tag in tags}
    return {ENTRY: place, MARK: store.shared(mark_name(place)), **versions}


def without(fence: str, writer: str) -> str | None:
    """Return what is left of a fence once that of `writer` has timed out; None for nothing."""
    timed_out = re.sub(rf"!{writer}@\d+", f"!{writer}@1", fence)
    return timed_out if re.search(r"@\d\d", timed_out) else None


class RedisShelf:
    def __init__(self, store: Store, client: redis.Redis, tags: tuple[str, ...] = TAGS) -> None:
        self.client = client
        self.keys = keys_in(store, tags)

    def load(self) -> Raw:
        values: Any = self.client.mget(list(self.keys.values()))
        return {n: v for n, v in zip(self.keys, values, strict=True) if v is not None}

    def restore(self, raw: Raw) -> None:
        pipeline = self.client.pipeline(transaction=False)
        pipeline.delete(*self.keys.values())
        if raw:
            pipeline.mset({self.keys[name]: value for name, value in raw.items()})
        pipeline.execute()

    def lapse(self, raw: Raw, writer: str) -> Raw:
        for name, fence in list(raw.items()):
            if fence.startswith(b"!"):
                left = without(raw.pop(name).decode(), writer)
                raw |= {} if left is None else {name: left.encode()}
        return raw


class LocMemShelf:
    def __init__(self, store: Store, tags: tuple[str, ...] = TAGS) -> None:
        self.keys = keys_in(store, tags)

    def load(self) -> Raw:
        found = caches["locmem"].get_many(self.keys.values())
        return {name: found[key] for name, key in self.keys.items() if key in found}

    def restore(self, raw: Raw) -> None:
        caches["locmem"].delete_many(self.keys.values())
        caches["locmem"].set_many({self.keys[name]: value for name, value in raw.items()})

    def lapse(self, raw: Raw, writer: str) -> Raw:
        for name, fence in list(raw.items()):
            if fence[0] == "!":
                left = without(raw.pop(name), writer)
                raw |= {} if left is None else {name: left}
        return raw


@pytest.fixture(params=["default", "locmem"])
def explorer(request: pytest.FixtureRequest, redis_client: redis.Redis, settings: Any) -> Explorer:
    # No fence may lapse while the exploration runs, but when the exploration says so.
    settings.CACHE_INVALIDATION = {"FENCE_TIMEOUT": 3600}
    store = get_store(request.param)
    is_redis = request.param == "default"
    return Explorer(store, RedisShelf(store, redis_client) if is_redis else LocMemShelf(store))


@pytest.mark.parametrize(
    "writers", [("tag", "tag"), ("entry", "tag"), ("entry", "entry")], ids=" and ".join
)
def test_no_interleaving_of_two_writers_and_two_readers_serves_a_stale_value(
    explorer: Explorer, writers: tuple[Drops, ...]
) -> None:
    worlds = explorer.run(writers)
    assert worlds > 1_000


@pytest.mark.parametrize("drops", ["tag", "entry"])
def test_no_interleaving_under_a_lag_of_replicas_serves_a_stale_value(
    explorer: Explorer, drops: Drops, settings: Any
) -> None:
    settings.CACHE_INVALIDATION |= {"REPLICA_LAG": 3600}
    explorer.lags = True
    assert explorer.run((drops,)) > 50


@pytest.mark.parametrize("drops", ["tag", "entry"])
def test_a_write_that_has_returned_is_seen_whatever_the_store_has_lost(
    explorer: Explorer, drops: Drops
) -> None:
    explorer.loses, explorer.returned = True, {"done"}
    assert explorer.run((drops,)) > 100


def test_which_is_why_a_write_waits_for_its_delivery_and_not_for_its_fence_alone(
    explorer: Explorer,
) -> None:
    explorer.loses, explorer.returned = True, {"committed", "done"}
    with pytest.raises(AssertionError, match="stale"):
        explorer.run(("tag",))


@pytest.mark.parametrize("sabotage", ["mark_in_its_place", "late_mark"])
def test_the_exploration_finds_what_is_broken_about_one_entry(
    explorer: Explorer, sabotage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    SABOTAGE[sabotage](explorer, monkeypatch)
    with pytest.raises(AssertionError, match="stale"):
        explorer.run(("entry",))


@pytest.mark.parametrize("sabotage", ["no_fence", "lift_of_all", "late_sample", "blind_fill"])
def test_the_exploration_finds_what_is_broken(
    explorer: Explorer, sabotage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    SABOTAGE[sabotage](explorer, monkeypatch)
    with pytest.raises(AssertionError, match="stale"):
        explorer.run()


def no_fence(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that acts after COMMIT only."""
    monkeypatch.setattr(explorer.store, "fence", lambda *args: None)


def lift_of_all(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first writer that is done lifts the fences of the others: harmless until one crashes."""
    shelf, deliver = explorer.shelf, explorer.store.deliver

    def lift(delivery: Delivery) -> None:
        deliver(delivery)
        shelf.restore({name: value for name, value in shelf.load().items() if name != TAG})

    monkeypatch.setattr(explorer.store, "deliver", lift)


def late_sample(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that takes the versions after it has computed."""
    fill, store = explorer.store.fill, explorer.store

    def fill_late(filling: Filling) -> bool:
        return fill(replace(filling, versions=current(store)))

    monkeypatch.setattr(explorer.store, "fill", fill_late)


def current(store: Store) -> Versions:
    versions = dict(store.versions(TAGS))
    missing = [tag for tag, version in versions.items() if version is None]
    return {**versions, **store.mint(missing, 60)} if missing else versions


def blind_fill(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that comes back with its old value after it was dropped."""

    def mint(tags: Any, timeout: float | None) -> Versions:
        shelf = explorer.shelf
        fixed: Any = "samesamesam"
        if isinstance(explorer.store, RedisStore):
            # What was minted under another server than this would be dropped.
            fixed = f"samesamesam{explorer.store._servers.identity}".encode()
        shelf.restore({**dict.fromkeys(tags, fixed), **shelf.load()})
        return {tag: explorer.store.versions([tag])[tag] for tag in tags}

    monkeypatch.setattr(explorer.store, "mint", mint)


def mark_in_its_place(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mark that is gone as soon as somebody stores a new value."""
    fill, shelf = explorer.store.fill, explorer.shelf

    def fill_and_forget(filling: Filling) -> bool:
        filled = fill(filling)
        if filled:
            shelf.restore({name: value for name, value in shelf.load().items() if name != MARK})
        return filled

    monkeypatch.setattr(explorer.store, "fill", fill_and_forget)
    for module in (messages, django_cache):
        monkeypatch.setattr(module, "seal", lambda versions, mark, *salt: seal(versions, "", *salt))


def late_mark(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that leaves a mark when it delivers, and none if it is killed before."""
    fence, shelf = explorer.store.fence, explorer.shelf

    def fence_without(*args: Any) -> None:
        before = shelf.load().get(MARK)
        fence(*args)
        raw = {name: value for name, value in shelf.load().items() if name != MARK}
        shelf.restore(raw if before is None else {**raw, MARK: before})

    monkeypatch.setattr(explorer.store, "fence", fence_without)


SABOTAGE = {
    "no_fence": no_fence,
    "lift_of_all": lift_of_all,
    "late_sample": late_sample,
    "blind_fill": blind_fill,
    "mark_in_its_place": mark_in_its_place,
    "late_mark": late_mark,
}


def test_a_reader_that_met_a_fence_stores_nothing(explorer: Explorer) -> None:
    explorer.store.fence([TAG], [], "writer")
    assert explorer.look(Reader(), explorer.store.lookup(explorer.place, TAGS)).at == "done"
