"""A primary that Sentinel replaces, and a server that is no primary any more."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches

from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.stores.redis.store import RedisStore
from example_project.servers import ValkeyServer
from example_project.topologies import SentinelGroup, ValkeyNode, wait_for
from tests.stores.conftest import sentinel_alias
from tests.stores.steps import MISS, alias_of, drop, recall, remember


def cut_off(primary: ValkeyNode, replica: ValkeyNode) -> None:
    """Have the replica miss what the primary is told from now on."""
    assert replica.process is not None
    replica.process.send_signal(signal.SIGSTOP)
    assert primary.ask("CLIENT", "KILL", "TYPE", "replica") == 1


def crash(primary: ValkeyNode, replica: ValkeyNode) -> None:
    """Kill the primary, and let the replica go on that was cut off."""
    primary.kill()
    assert replica.process is not None
    replica.process.send_signal(signal.SIGCONT)


@pytest.fixture
def group() -> Iterator[SentinelGroup]:
    """A group that the test may tear apart."""
    with SentinelGroup() as group:
        yield group


def test_a_failover_leaves_no_entry_that_missed_an_invalidation(
    settings: Any, group: SentinelGroup
) -> None:
    alias = alias_of(settings, "sentinel", sentinel_alias(group))
    store = RedisStore(alias)
    names = [f"sentinel:1:ci:{name}" for name in ("e:page", "t:a", "t:*")]
    remember(store, "page", "old", "*", "a")
    wait_for(lambda: group.replica.ask("EXISTS", *names) == 3)
    cut_off(group.primary, group.replica)
    drop(store, "a")
    crash(group.primary, group.replica)
    group.wait_for_failover()
    # The promoted one has all that a reader needs for a hit.
    assert group.replica.ask("EXISTS", *names) == 3
    for process in (RedisStore(alias), store, RedisStore(alias)):
        assert recall(process, "page", "*", "a") == MISS
    remember(store, "page", "new", "*", "a")
    assert recall(RedisStore(alias), "page", "*", "a") == "new"
    drop(store, "a")
    assert recall(RedisStore(alias), "page", "*", "a") == MISS
    assert store.breaker.outages == 0


def test_the_replica_is_never_asked(settings: Any, sentinel_group: SentinelGroup) -> None:
    alias = alias_of(settings, "sentinel", sentinel_alias(sentinel_group))
    caches[alias].clear()
    sentinel_group.replica.ask("CONFIG", "RESETSTAT")
    store = RedisStore(alias)
    for number in range(20):
        remember(store, f"page {number}", "value", "*", "a")
        assert recall(store, f"page {number}", "*", "a") == "value"
    stats = sentinel_group.replica.ask("INFO", "commandstats").decode()
    assert "cmdstat_mget" not in stats
    assert "cmdstat_set" in stats  # It follows the primary.


@pytest.fixture
def address(tmp_path: Path, valkey: ValkeyServer) -> Path:
    """A name that leads to the server, as one in the DNS does."""
    (link := tmp_path / "cache.sock").symlink_to(valkey.socket)
    return link


def use(settings: Any, address: Path) -> RedisStore:
    config = settings.CACHES["default"] | {"LOCATION": f"unix://{address}?db=0"}
    return RedisStore(alias_of(settings, "default", config))


def demote(server: ValkeyServer) -> None:
    """Make the server a replica, of a primary that does not answer."""
    assert ask(server, "REPLICAOF", "127.0.0.1", "1") == b"OK"


def ask(server: ValkeyServer, *command: str) -> Any:
    return ValkeyNode.ask(server, *command)  # type: ignore[arg-type]


def test_a_write_that_meets_a_demoted_primary_goes_to_its_successor(
    settings: Any, address: Path, valkey: ValkeyServer
) -> None:
    store = use(settings, address)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: remember(store, f"page {n}", "old", "*", "a"), range(100)))
    demote(valkey)
    with ValkeyServer() as successor:
        (new := address.with_name("new")).symlink_to(successor.socket)
        new.replace(address)
        store.fence(["a"], [], "writer")
        drop(store, "a", token="writer")
        # The demoted one answers whoever still asks it.
        assert ask(valkey, "EXISTS", "test:1:ci:e:page 0", "test:1:ci:t:a") == 2
        with ThreadPoolExecutor(8) as pool:
            found = pool.map(lambda n: recall(store, f"page {n}", "*", "a"), range(100))
            assert set(found) == {MISS}
    assert store.breaker.outages == 0


@pytest.mark.parametrize("step", ["fence", "deliver", "mint"])
def test_a_demoted_primary_without_a_successor_is_an_outage(
    settings: Any, address: Path, valkey: ValkeyServer, step: str
) -> None:
    store = use(settings, address)
    remember(store, "page", "value", "a")
    demote(valkey)
    steps = {
        "fence": lambda: store.fence(["a"], [], "writer"),
        "deliver": lambda: drop(store, "a"),
        "mint": lambda: store.mint(["b"], 60),
    }
    with pytest.raises(StoreUnavailable, match="replica"):
        steps[step]()
    assert not store.breaker.is_working
    store.close()


def test_a_server_that_was_demoted_meanwhile_is_another_one(
    settings: Any, address: Path, valkey: ValkeyServer
) -> None:
    store = use(settings, address)
    remember(store, "page", "old", "*", "a")
    demote(valkey)
    # Others write to its successor, of which it does not hear before it is promoted again.
    ask(valkey, "REPLICAOF", "NO", "ONE")
    assert recall(use(settings, address), "page", "*", "a") == MISS
