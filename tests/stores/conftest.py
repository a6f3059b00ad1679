"""The stores under test, each on a real server."""

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import caches

from cache_invalidation.stores import get_store
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.redis import RedisStore
from example_project.servers import Server

STORES = [
    "default",
    "zlib",
    "redis_django",
    pytest.param("dbcache", marks=pytest.mark.django_db(transaction=True)),
    pytest.param("dbcache in atomic", marks=pytest.mark.django_db),
    "locmem",
    "memcached",
]


class MemcachedServer(Server):
    """A Memcached server on a UNIX socket."""

    stop_signal = signal.SIGTERM
    kill_signal = signal.SIGKILL

    @property
    def url(self) -> str:
        return f"unix:{self.directory / 'memcached.sock'}"

    def command(self) -> list[str]:
        command = ["memcached", "-s", self.url.removeprefix("unix:")]
        # Memcached refuses to run as root unless root is named.
        return [*command, "-u", "root"] if os.geteuid() == 0 else command

    def is_ready(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(self.url.removeprefix("unix:"))
            client.sendall(b"version\r\n")
            return client.recv(7) == b"VERSION"


@pytest.fixture(scope="session")
def memcached() -> Iterator[Server]:
    if shutil.which("memcached") is None:
        pytest.skip("memcached is not installed")
    with MemcachedServer() as server:
        yield server


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
        settings.CACHES = settings.CACHES | {
            alias: {
                "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
                "LOCATION": request.getfixturevalue("memcached").url,
            }
        }
    settings.CACHE_INVALIDATION = {"CACHE": alias}
    caches[alias].clear()
    return get_store(alias)


@pytest.fixture
def redis_store() -> RedisStore:
    store = get_store("default")
    assert isinstance(store, RedisStore)
    return store
