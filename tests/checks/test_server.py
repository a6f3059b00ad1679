"""System checks that ask the server behind the cache."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.core.checks import Error, Info, Warning
from django.test import override_settings

from cache_invalidation.stores import near
from cache_invalidation.stores.redis.connection import TIME_LIMITS
from cache_invalidation.stores.redis.server import Server
from example_project.servers import ValkeyServer
from example_project.topologies import ClusterServers
from tests.checks.reporting import (
    configured,
    ids,
    only,
    reported,
    reported_in_production,
    with_cache,
    with_redis_at,
)
from tests.stores.conftest import cluster_alias
from tests.stores.fake_server import FakeServer, nonsense, silence
from tests.stores.steps import PATIENCE

# Django's own checks ask the server for its version, once.
pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    """A server whose memory policy the tests change."""
    with ValkeyServer(maxmemory="100mb") as server:
        yield server


@pytest.fixture
def client(server: ValkeyServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url) as client:
        yield client
        client.config_set("maxmemory", "100mb")
        client.replicaof("NO", "ONE")


@pytest.mark.parametrize(
    ("info", "found"),
    [
        ("redis_version:6.2.14\r\n", "Redis 6.2.14"),
        ("redis_version:7.2.4\r\nvalkey_version:7.1.9\r\n", "Valkey 7.1.9"),
    ],
)
def test_e005_a_server_that_is_too_old(info: str, found: str, monkeypatch: pytest.MonkeyPatch):
    learn = Server.learn
    monkeypatch.setattr(Server, "learn", lambda self, _: learn(self, f"{info}run_id:1234\r\n"))
    message = only(reported(), Error, "E005")
    assert "'default'" in message.msg
    assert found in message.msg
    assert "Redis 7.0 or Valkey 7.2" in message.msg
    assert "Upgrade" in str(message.hint)


def test_a_server_that_is_down_is_no_mistake_in_the_project(tmp_path: Path):
    with with_redis_at(f"unix://{tmp_path}/nobody.sock"):
        assert reported_in_production() == []


def test_a_server_is_asked_once_by_all_checks_together(server: ValkeyServer, client: redis.Redis):
    client.config_set("maxmemory-policy", "allkeys-lru")
    before: Any = client.info("all")
    with with_redis_at(server.url):
        assert ids(reported_in_production()) == ["I001"]
    after: Any = client.info("all")
    opened = "total_connections_received"
    assert after[opened] - before[opened] == 1


@pytest.mark.parametrize(
    ("answer", "limit", "attempts"),
    # One that hangs up may have closed a connection that lay idle, and deserves a second one.
    [(silence, 0.2, 1), (nonsense, PATIENCE, 1), (None, PATIENCE, 2)],
)
def test_a_server_that_does_not_answer_is_waited_for_once_and_as_long_as_by_default(
    tmp_path: Path, answer: Any, limit: float, attempts: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(TIME_LIMITS, "socket_timeout", limit)
    with FakeServer(tmp_path, answer) as fake, with_redis_at(fake.url, SOCKET_TIMEOUT=PATIENCE):
        assert reported_in_production() == []
    assert fake.connections == attempts


@pytest.mark.parametrize(
    "policy", ["volatile-ttl", "volatile-random", "allkeys-random", "noeviction"]
)
def test_w008_a_policy_that_is_not_for_fences(
    server: ValkeyServer, client: redis.Redis, policy: str
):
    client.config_set("maxmemory-policy", policy)
    with with_redis_at(server.url):
        message = only(reported(), Warning, "W008")
        assert policy in message.msg
        client.config_set("maxmemory", 0)
        assert reported() == []


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "volatile-lru", "volatile-lfu"])
def test_policies_that_spare_new_fences_are_fine(
    server: ValkeyServer, client: redis.Redis, policy: str
):
    client.config_set("maxmemory-policy", policy)
    with with_redis_at(server.url):
        assert reported() == []


@pytest.mark.parametrize("policy", ["volatile-lru", "volatile-lfu"])
def test_w008_a_policy_that_spares_entries_which_last_for_ever(
    server: ValkeyServer, client: redis.Redis, policy: str
):
    client.config_set("maxmemory-policy", policy)
    with with_redis_at(server.url), configured(DEFAULT_TIMEOUT=None):
        assert "DEFAULT_TIMEOUT = None" in only(reported(), Warning, "W008").msg
        client.config_set("maxmemory-policy", "allkeys-lru")
        assert reported() == []


def test_i001_what_evicts_everything_in_production(server: ValkeyServer, client: redis.Redis):
    client.config_set("maxmemory-policy", "allkeys-lfu")
    with with_redis_at(server.url):
        assert "(allkeys-lfu)" in only(reported_in_production(), Info, "I001").msg
        client.config_set("maxmemory", 0)
        assert reported_in_production() == []


@pytest.mark.parametrize(
    ("others", "what"),
    [
        ({"SESSION_ENGINE": "django.contrib.sessions.backends.cache"}, "SESSION_ENGINE"),
        ({"CELERY_BROKER_URL": "redis+socket://{path}?virtual_host=1"}, "CELERY_BROKER_URL"),
        ({"CELERY_BROKER_URL": "redis://cache:6379/1;unix://{path}"}, "CELERY_BROKER_URL"),
    ],
)
def test_w009_what_must_not_be_evicted_on_a_server_that_evicts_everything(
    server: ValkeyServer, client: redis.Redis, others: dict[str, str], what: str
):
    client.config_set("maxmemory-policy", "allkeys-lru")
    values = {name: value.format(path=server.socket) for name, value in others.items()}
    with with_redis_at(server.url), override_settings(**values):
        assert what in only(reported_in_production(), Warning, "W009").msg
        assert reported() == []


@pytest.mark.parametrize(
    "others",
    [
        {"SESSION_ENGINE": "django.contrib.sessions.backends.cached_db"},
        {
            "SESSION_ENGINE": "django.contrib.sessions.backends.cache",
            "SESSION_CACHE_ALIAS": "locmem",
        },
        {"SESSION_ENGINE": "django.contrib.sessions.backends.cache", "SESSION_CACHE_ALIAS": "nope"},
        {"CELERY_BROKER_URL": "redis://queue:6379/0"},
        {"CELERY_BROKER_URL": ["amqp://queue", "redis://queue:port/0"]},
        {"CELERY_BROKER_URL": object()},
    ],
)
def test_what_is_elsewhere_is_not_evicted(
    server: ValkeyServer, client: redis.Redis, others: dict[str, Any]
):
    client.config_set("maxmemory-policy", "allkeys-lru")
    with with_redis_at(server.url), override_settings(**others):
        only(reported_in_production(), Info, "I001")


def test_w009_a_server_is_the_same_however_it_is_spelled(server: ValkeyServer, client: redis.Redis):
    client.config_set("maxmemory-policy", "allkeys-lru")
    with (
        with_redis_at([server.url, "redis://cache.example/0"]),
        override_settings(CELERY_BROKER_URL="rediss://user:secret@CACHE.example:6379/5?timeout=1"),
    ):
        message = only(reported_in_production(), Warning, "W009")
    assert "secret" not in f"{message.msg} {message.hint}"


def test_w015_replicas_before_the_primary(server: ValkeyServer, client: redis.Redis):
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.replicaof("127.0.0.1", "1")
    with with_redis_at([server.url, "redis://127.0.0.1:1"]):
        message = only(reported(), Warning, "W015")
    assert "LOCATION" in str(message.hint)


def test_w008_the_nodes_of_a_cluster():
    with ClusterServers() as cluster, with_cache(**cluster_alias(cluster)):
        assert reported() == []
        for node in cluster.nodes:
            node.ask("CONFIG", "SET", "maxmemory", "100mb")
            node.ask("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
        only(reported(), Warning, "W008")


def test_a_server_that_does_not_tell_about_its_memory_is_not_judged(
    server: ValkeyServer, client: redis.Redis
):
    client.config_set("maxmemory-policy", "volatile-ttl")
    client.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-info")
    with with_redis_at(server.url, USERNAME="app", PASSWORD="pw"):
        assert reported_in_production() == []


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-lru"])
def test_w031_values_near_without_leases(
    server: ValkeyServer,
    client: redis.Redis,
    policy: str,
    monkeypatch: pytest.MonkeyPatch,
):
    client.config_set("maxmemory-policy", policy)
    with with_redis_at(server.url):
        assert "W031" not in ids(reported())
        monkeypatch.setattr(near, "_in_use", True)
        if policy == "volatile-lru":
            assert "W031" not in ids(reported())
        else:
            found = only(reported(), Warning, "W031")
            assert policy in found.msg
            assert "volatile-lru" in str(found.hint)


@pytest.mark.parametrize("timeout", [300, None])
def test_a_policy_that_is_proposed_for_values_near_grants_leases(
    server: ValkeyServer, client: redis.Redis, timeout: int | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(near, "_in_use", True)
    client.config_set("maxmemory-policy", "noeviction")
    with with_redis_at(server.url), configured(DEFAULT_TIMEOUT=timeout):
        hint = str(only(reported(), Warning, "W008").hint)
        assert "allkeys" not in hint
        assert ("DEFAULT_TIMEOUT" in hint) is (timeout is None)
    with with_redis_at(server.url), configured(DEFAULT_TIMEOUT=300):
        for policy in ("volatile-lru", "volatile-lfu"):
            assert policy in hint
            client.config_set("maxmemory-policy", policy)
            assert not {"W008", "W031"} & set(ids(reported()))


@pytest.mark.parametrize(("globs", "number"), [(["a:*"], 1), ([], 0)])
def test_w031_tracked_keys_near_on_a_cache_that_takes_no_notice(globs: list[str], number: int):
    default = {
        "BACKEND": "cache_invalidation.backends.LocMemCache",
        "LOCATION": "checked",
        "OPTIONS": {"TRACK": ["a:*"], "NEAR": globs},
    }
    with override_settings(CACHES={**django_settings.CACHES, "default": default}):
        assert "W031" not in ids(reported())
        assert ids(reported_in_production()).count("W031") == number


def test_w031_values_near_on_a_cache_that_takes_no_notice(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(near, "_in_use", True)
    with configured(CACHE="locmem"):
        assert "W031" not in ids(reported())
        told = [each for each in reported_in_production() if str(each.id).endswith("W031")]
        found = only(told, Warning, "W031")
        assert "none of django-redis" in found.msg
        assert "django_redis.cache.RedisCache" in str(found.hint)
