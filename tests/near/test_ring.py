"""How a process that keeps values near is told at once, and what it says to that."""

from typing import Any

import pytest
import redis

from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import Filling
from cache_invalidation.stores.near.holding import _Keeping
from cache_invalidation.stores.near.memory import Kept, Lease, Memory
from cache_invalidation.stores.near.registrar import Item
from tests.near.conftest import until
from tests.stores.steps import PATIENCE, alias_of, drop

TOLD = (3, Item(4, ["key"]))


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def elsewhere(request: pytest.FixtureRequest, settings: Any) -> Any:
    """A store by either version of the wire protocol, which sends a ping whenever it may."""
    default = settings.CACHES["default"]
    pool = {"protocol": request.param, "health_check_interval": 1e-9}
    options = default["OPTIONS"] | {"CONNECTION_POOL_KWARGS": pool}
    return get_store(alias_of(settings, "elsewhere", default | {"OPTIONS": options}))


def ring_for(client: redis.Redis, store: Any) -> int:
    told: int = client.publish(f"{store._near}c:me", '[3,4,"token",["key"]]')
    return told


def test_who_listens_is_told(elsewhere, redis_client):
    with elsewhere.ring("me") as ring:
        assert ring.listen(PATIENCE) is None  # Somebody listens now.
        assert ring.listen(0.0) is None
        assert ring.listen(0.01) is None
        for _ in range(3):
            assert ring_for(redis_client, elsewhere) == 1
            until(lambda: ring.listen(0.1) == TOLD)


def test_who_was_cut_off_listens_again(elsewhere, redis_client):
    with elsewhere.ring("me") as ring:
        ring.listen(PATIENCE)
        redis_client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")

        def hears() -> bool:
            ring_for(redis_client, elsewhere)
            return bool(ring.listen(0.1) == TOLD)

        until(hears)


def test_who_confirms_what_it_was_told_says_nothing_else_until_its_lease_has_to_be_renewed(
    other, monkeypatch
):
    memory, lease = Memory(), Lease("me.60000")
    keeping = _Keeping(other, memory, lease, 60.0, lambda: False)
    said: list[Any] = []
    renew = other.renew

    def watched(holder: str, confirmed: int, given_up: Any, *args: Any, **kw: Any) -> Any:
        said.append((confirmed, set(given_up)))
        return renew(holder, confirmed, given_up, *args, **kw)

    monkeypatch.setattr(other, "renew", watched)
    place, keys = other.entry_place("page"), {other.version_key("a"), other.version_key("b")}
    with other.ring(lease.holder) as ring:
        assert keeping.renew()
        other.mint(["a", "b"], None)
        stamp = keep(other, memory, lease, place, keys)
        told = other.fence(["a"], [], "token")
        assert told.holders == {lease.holder: stamp + 1}

        def hears() -> bool:
            keeping.listen(ring)
            return keeping._confirmed == stamp + 1

        until(hears)
        assert keeping.renew()
        keeping._give_up_at = 0.0  # As time goes by.
        assert keeping.renew()
    assert said == [(0, set()), (stamp + 1, set()), (stamp + 1, {place, *keys})]
    drop(other, "b")
    assert not other.fence(["b"], [place], "another").holders


def keep(store: Any, memory: Memory, lease: Lease, place: str, keys: set[str]) -> int:
    """Register the holder for an entry, and keep it."""
    versions = store.versions(["a", "b"])
    filling = Filling(entry=place, payload=b"", versions=versions)
    stamp: int = store.fill_and_hold(filling, lease.holder)
    own = frozenset({place, *keys})
    assert memory.keep(Kept(place, b"", True, "", lease, stamp, {}, b"", own, 1e12, b""), 10**6)
    return stamp
