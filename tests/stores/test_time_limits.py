"""Servers that take long or never answer: nobody waits for them for long, least of all a COMMIT."""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.stores.messages import Delivery
from cache_invalidation.stores.redis.cluster_store import RedisClusterStore
from cache_invalidation.stores.redis.store import RedisStore
from example_project.servers import ValkeyServer
from example_project.topologies import ClusterServers, SentinelGroup, wait_for
from tests.stores.conftest import cluster_alias, sentinel_alias
from tests.stores.fake_server import FakeServer, redis_of_version, silence
from tests.stores.steps import MISS, PATIENCE, alias_of, drop, recall, remember

pytestmark = pytest.mark.slow

LONG = 1.5  # seconds; the app's own limit is shorter


@pytest.fixture(autouse=True)
def patient() -> None:
    """Leave the time limits as they are, since they are what is tested here."""


def sluggish(request: bytes) -> bytes:
    """Answer as Redis does, and take long to delete a key."""
    if b"UNLINK" in request:
        time.sleep(LONG)
    return redis_of_version("7.4.0")(request)


def store_at(settings: Any, url: str, **options: Any) -> RedisStore:
    """Return a store for which nothing is set but what is given."""
    config = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": url, "OPTIONS": options}
    return RedisStore(alias_of(settings, "limits", config))


def answers(store: RedisStore) -> bool:
    try:
        store.ping()
    except StoreUnavailable:
        return False
    return True


@pytest.fixture
def silent_ports() -> Iterator[list[int]]:
    """Ports where connections are accepted, and nothing is ever said."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        yield [listener.getsockname()[1] for listener in listeners]


def test_an_answer_is_waited_for_as_long_as_the_project_says(settings: Any, tmp_path: Path):
    delivery = Delivery(token="t", keys=["key"])
    with FakeServer(tmp_path, sluggish) as server:
        for options in (
            {"SOCKET_TIMEOUT": PATIENCE},
            {"CONNECTION_POOL_KWARGS": {"socket_timeout": PATIENCE}},
        ):
            with closing(store_at(settings, server.url, **options)) as store:
                store.deliver(delivery)
        store = store_at(settings, server.url)
        with closing(store), pytest.raises(StoreUnavailable, match="Timeout"):
            store.deliver(delivery)


def test_a_server_that_never_answers_is_an_outage(settings: Any, tmp_path: Path, silent_ports):
    with FakeServer(tmp_path, silence) as server:
        for url in (server.url, f"redis://127.0.0.1:{silent_ports[0]}"):
            store = store_at(settings, url)
            with pytest.raises(StoreUnavailable, match="Timeout"):
                store.fence(["a"], [], "writer")
            assert not store.breaker.is_working
            store.close()


def test_a_frozen_server_is_an_outage_and_serves_nothing_old_afterwards(
    settings: Any, valkey: ValkeyServer
):
    writer = store_at(settings, valkey.url)
    patient = store_at(settings, valkey.url, SOCKET_TIMEOUT=PATIENCE)
    remember(patient, "page", "old", "*", "a")
    patient.fence(["a"], [], "writer")
    wait_for(lambda: answers(writer))
    assert valkey.process is not None
    valkey.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable, match="Timeout"):
            drop(writer, "a", token="writer")
    finally:
        valkey.process.send_signal(signal.SIGCONT)
    # The fence stood before, and whether it was lifted nobody knows.
    assert recall(patient, "page", "*", "a") == MISS
    writer.close()


def test_sentinels_that_never_answer_are_passed_over(
    settings: Any, sentinel_group: SentinelGroup, silent_ports: list[int]
):
    config = sentinel_alias(sentinel_group)
    silent = [("127.0.0.1", port) for port in silent_ports]
    config["OPTIONS"]["SENTINELS"] = silent + config["OPTIONS"]["SENTINELS"]
    store = RedisStore(alias_of(settings, "sentinel", config))
    # Of what Sentinel leads to. Each Sentinel would have SOCKET_TIMEOUT as well.
    store._servers._pool.connection_kwargs["socket_timeout"] = PATIENCE  # type: ignore[attr-defined]
    wait_for(lambda: answers(store))
    remember(store, "page", "value", "*", "a")
    assert recall(store, "page", "*", "a") == "value"


def test_a_frozen_node_of_a_cluster_is_an_outage(settings: Any):
    with ClusterServers() as cluster:
        alias = alias_of(settings, "cluster", cluster_alias(cluster))
        tags = [f"tag{number}" for number in range(100)]
        begun = RedisClusterStore(alias)
        wait_for(lambda: answers(begun))
        patient = RedisClusterStore(
            alias_of(settings, "patient", cluster_alias(cluster, SOCKET_TIMEOUT=PATIENCE))
        )
        patient.fence(tags, [], "writer")
        node = cluster.nodes[0].process
        assert node is not None
        node.send_signal(signal.SIGSTOP)
        try:
            for store in (begun, RedisClusterStore(alias)):
                with pytest.raises(StoreUnavailable):
                    store.fence(tags, [], "writer")
                assert not store.breaker.is_working
                store.close()
        finally:
            node.send_signal(signal.SIGCONT)
        cluster.wait_until_ok()
        drop(patient, *tags, token="writer")
        assert patient.versions(tags) == dict.fromkeys(tags)
