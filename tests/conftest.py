"""Fixtures that every test can use."""

import os
import threading
from collections.abc import Callable, Iterator
from unittest import mock

import pytest
import redis
from django.contrib.contenttypes.models import ContentType
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache

from cache_invalidation import stores
from example_project.servers import ValkeyServer


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """Leave out what takes most of a flush: creating content types and permissions again.

    No test needs the permissions, and content types are created on demand once they are forgotten:
    see `empty_caches`.
    """

    with mock.patch("django.core.management.commands.flush.emit_post_migrate_signal"):
        yield


@pytest.fixture(scope="session")
def redis_url() -> str:
    """The server behind the Redis caches of `tests.settings`."""
    return os.environ["REDIS_URL"]


@pytest.fixture(scope="session")
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """A client that knows nothing of Django, to look at or spoil what is stored."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    """A server for one test alone, which may kill it."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture(autouse=True)
def empty_caches(redis_client: redis.Redis) -> None:
    """Start every test with empty caches, which no test before has seen fail.

    The database cache is emptied with its database.
    """
    if any(store.breaker.is_open for store in stores._stores.values()):
        stores._forget("CACHES")
    for thread in threading.enumerate():
        if thread.name.startswith("cache_invalidation recovery"):
            thread.join(10)  # It would deliver what this test has wait.
    redis_client.flushdb()
    caches["locmem"].clear()
    # The test before may have created some that were flushed or rolled back with it.
    ContentType.objects.clear_cache()


@pytest.fixture
def django_cache() -> Callable[[str], BaseCache]:
    """Return the cache of an alias, emptied."""

    def get(alias: str) -> BaseCache:
        cache: BaseCache = caches[alias]
        cache.clear()
        return cache

    return get
