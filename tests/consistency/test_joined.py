"""Rows that are found by a query, in every order of steps. See `joined`."""

from dataclasses import replace
from typing import Any

import pytest
import redis

from cache_invalidation.stores import get_store
from tests.consistency.joined import CONDITIONS, TABLE, TAGS, JoinedExplorer, Kind
from tests.consistency.test_interleavings import LocMemShelf, RedisShelf

pytestmark = pytest.mark.slow

Make = Any


@pytest.fixture
def make(redis_client: redis.Redis, settings: Any) -> Make:
    # No fence may lapse while the exploration runs, but when the exploration says so.
    settings.CACHE_INVALIDATION = {"FENCE_TIMEOUT": 3600}

    def make(alias: str, **options: Any) -> JoinedExplorer:
        store = get_store(alias)
        is_redis = alias == "default"
        shelf: Any = RedisShelf(store, redis_client, TAGS) if is_redis else LocMemShelf(store, TAGS)
        return JoinedExplorer(store, shelf, **options)

    return make


@pytest.mark.parametrize(
    ("alias", "kinds", "readers"),
    [
        ("default", ("fencing", "fencing"), 1),
        ("default", ("fencing", "late"), 2),
        ("default", ("fencing", "by hand"), 2),
        ("locmem", ("late", "by hand"), 1),
        ("locmem", ("fencing",), 2),
    ],
    ids=str,
)
def test_no_interleaving_serves_a_stale_row(
    make: Make, alias: str, kinds: tuple[Kind, ...], readers: int
):
    assert make(alias).explore(kinds, readers) > 100


@pytest.mark.parametrize("kind", ["fencing", "late", "by hand"])
def test_no_interleaving_on_a_cluster_serves_a_stale_row(make: Make, kind: Kind):
    assert make("default", is_cluster=True).explore((kind,)) > 100


@pytest.mark.parametrize(
    ("kinds", "options"),
    [
        (("fencing",), {"conditions": ()}),
        (("by hand",), {"conditions": (TABLE,)}),
        (("fencing",), {"conditions": CONDITIONS[1:]}),
        (("late",), {"is_cluster": True, "fences_late": False}),
    ],
    ids=["no condition", "nothing for what is dropped by hand", "not the table", "no late fence"],
)
def test_the_exploration_finds_what_is_broken(make: Make, kinds: Any, options: dict[str, Any]):
    with pytest.raises(AssertionError, match="stale"):
        make("default", **options).explore(kinds)


def test_the_exploration_finds_a_condition_that_is_not_compared(
    make: Make, monkeypatch: pytest.MonkeyPatch
):
    explorer = make("default")
    fill = explorer.store.fill
    monkeypatch.setattr(
        explorer.store, "fill", lambda filling: fill(replace(filling, conditions={}))
    )
    with pytest.raises(AssertionError, match="stale"):
        explorer.explore(("fencing",))
