"""The stores under test, each on a real server."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import caches

from cache_invalidation.stores import get_store
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.redis.store import RedisStore
from example_project.servers import MemcachedServer, Server
from example_project.topologies import ClusterServers, SentinelGroup

STORES = [
    "default",
    "zlib",
    "redis_django",
    pytest.param("dbcache", marks=pytest.mark.django_db(transaction=True)),
    pytest.param("dbcache in atomic", marks=pytest.mark.django_db),
    "locmem",
    "memcached",
    "sentinel",
    "cluster",
]


@pytest.fixture(scope="session")
def memcached() -> Iterator[Server]:
    if shutil.which("memcached") is None:
        pytest.skip("memcached is not installed")
    with MemcachedServer() as server:
        yield server


def memcached_alias(server: Server) -> dict[str, Any]:
    """Return the configuration of an alias on Memcached."""
    return {
        "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
        "LOCATION": server.url,
    }


def sentinel_alias(group: SentinelGroup) -> dict[str, Any]:
    """Return the configuration of an alias behind Sentinel."""
    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": f"redis://{group.service}/0",
        "KEY_PREFIX": "sentinel",
        "OPTIONS": {
            "CLIENT_CLASS": "django_redis.client.SentinelClient",
            "CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory",
            "SENTINELS": [("127.0.0.1", group.sentinel.port)],
        },
    }


def cluster_alias(cluster: ClusterServers, **options: Any) -> dict[str, Any]:
    """Return the configuration of an alias on a cluster."""
    client = "cache_invalidation.stores.redis.cluster.ClusterClient"
    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": cluster.urls,
        "KEY_PREFIX": "cluster",
        "OPTIONS": {"CLIENT_CLASS": client, **options},
    }


@pytest.fixture(scope="session")
def sentinel_group() -> Iterator[SentinelGroup]:
    """A group that every test leaves as it is."""
    with SentinelGroup() as group:
        yield group


@pytest.fixture(scope="session")
def cluster() -> Iterator[ClusterServers]:
    """A cluster that every test leaves as it is."""
    with ClusterServers() as servers:
        yield servers


@pytest.fixture(autouse=True)
def fresh_stores(settings: Any) -> None:
    """Start every test with stores that remember no outage of another test."""
    settings.CACHES = dict(settings.CACHES)
    settings.CACHE_INVALIDATION = {}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, settings: Any) -> Store:
    """Each store in turn, empty, and set as the one that the package uses."""
    alias = request.param.partition(" ")[0]
    if alias == "memcached":
        settings.CACHES |= {alias: memcached_alias(request.getfixturevalue("memcached"))}
    elif alias == "sentinel":
        settings.CACHES |= {alias: sentinel_alias(request.getfixturevalue("sentinel_group"))}
    elif alias == "cluster":
        settings.CACHES |= {alias: cluster_alias(request.getfixturevalue("cluster"))}
    settings.CACHE_INVALIDATION = {"CACHE": alias}
    caches[alias].clear()
    return get_store(alias)


@pytest.fixture
def redis_store() -> RedisStore:
    store = get_store("default")
    assert isinstance(store, RedisStore)
    return store
