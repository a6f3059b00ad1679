"""What was read before a tracked key was asked for, step by step, in every order."""

from typing import Any

import pytest
import redis

from cache_invalidation.stores import get_store
from cache_invalidation.surfaces.tracked import seen
from tests.consistency.test_interleavings import LocMemShelf, RedisShelf
from tests.tracked.exploration import UnitExplorer


@pytest.fixture(params=["default", "locmem"])
def explorer(request: Any, redis_client: redis.Redis, settings: Any) -> UnitExplorer:
    settings.CACHE_INVALIDATION = {"FENCE_TIMEOUT": 3600}
    store = get_store(request.param)
    is_redis = request.param == "default"
    return UnitExplorer(store, RedisShelf(store, redis_client) if is_redis else LocMemShelf(store))


@pytest.mark.slow
@pytest.mark.parametrize("writers", [("tag", "tag"), ("tag", "entry")], ids=" and ".join)
def test_no_interleaving_stores_what_was_read_too_early(explorer, writers):
    assert explorer.run(writers, readers=1) > 500


@pytest.mark.slow
def test_nor_of_two_units(explorer):
    assert explorer.run(("tag",), readers=2) > 500


@pytest.mark.slow
@pytest.mark.parametrize(("forgotten", "drops"), [("versions", "tag"), ("mark", "entry")])
def test_the_exploration_finds_what_is_broken(explorer, forgotten, drops):
    explorer.forgotten = forgotten
    with pytest.raises(AssertionError, match="stale"):
        explorer.run((drops,), readers=1)


def test_a_version_counts_from_when_it_was_first_seen():
    seen.remember({"a": "1", "b": "1", "c": "!fence@1", "d": None})
    first = seen.now()
    assert seen.before(first, "abcd") == {"a": "1", "b": "1"}
    seen.remember({"a": "1", "b": "2"})
    second = seen.now()
    assert seen.before(first, "abcd") == {"a": "1"}
    assert seen.before(second, "abcd") == {"a": "1", "b": "2"}
    seen.remember({"b": "1"})  # An answer that was long on its way.
    assert seen.before(second, "abcd") == {"a": "1"}
