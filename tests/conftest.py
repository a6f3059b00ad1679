"""Fixtures that every test can use."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final
from unittest import mock

import pytest
import redis
from django.contrib.contenttypes.models import ContentType
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.db import connections

from cache_invalidation import stores
from cache_invalidation.conf import Settings
from cache_invalidation.metrics.counters import counters
from cache_invalidation.observing.watcher import journal
from cache_invalidation.reads import hints, profiles
from cache_invalidation.reads.hottest import hottest
from cache_invalidation.stores import near, recovery
from cache_invalidation.stores.redis.connection import TIME_LIMITS
from cache_invalidation.surfaces.tracked import journals, seen
from example_project.servers import ValkeyServer
from tests.databases import emptied_with_delete, kept_sessions
from tests.stores.steps import PATIENCE

AN_HOUR: Final = 3600.0  # seconds


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with ExitStack() as stack:
        with django_db_blocker.unblock():
            stack.enter_context(emptied_with_delete(connections))
        stack.enter_context(kept_sessions())
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
def unhurried() -> Iterator[None]:
    """Have nothing lapse by default while a test runs, however busy the machine is.

    A test about what happens in the course of time says itself how much of it there is. A module
    that tests the defaults has a fixture of this name that changes none.
    """
    names = "FENCE_TIMEOUT", "LOCK_TIMEOUT", "METRICS_FLUSH_INTERVAL"
    with ExitStack() as stack:
        for setting in (getattr(Settings, name) for name in names):
            stack.enter_context(mock.patch.object(setting, "default", AN_HOUR))
        yield


@pytest.fixture(autouse=True)
def patient() -> Iterator[None]:
    """Have a server waited for that is only slow, where the project says nothing of time-outs."""
    with mock.patch.dict(TIME_LIMITS, dict.fromkeys(TIME_LIMITS, PATIENCE)):
        yield


@pytest.fixture(autouse=True)
def empty_caches(redis_client: redis.Redis) -> None:
    """Start every test with empty caches, which no test before has seen fail.

    The database cache is emptied with its database.
    """
    if any(not store.breaker.is_working for store in stores._stores.values()):
        stores._forget("CACHES")
    for recovering in list(recovery._all):
        if (thread := recovering._thread) is not None and thread.is_alive():
            # It would deliver what this test has wait.
            if recovering._store not in stores._stores.values():
                recovering.stop()
            thread.join(PATIENCE)
            assert not thread.is_alive(), f"{thread.name} of another test does not end"
    for store in list(stores._stores.values()):
        holding = store.near
        if holding is not None and (keeping := holding._thread) is not None:
            stores._forget("CACHES")  # It would tell the server things that this test counts.
            keeping.join(PATIENCE)
            assert not keeping.is_alive(), f"{keeping.name} of another test does not end"
    redis_client.flushdb()
    for alias in ("locmem", "tracked_locmem"):
        caches[alias].clear()
    counters.discard()
    hottest._forget()
    hints.forget()
    profiles.forget()
    seen.forget()
    journals.forget()
    journal.set(None)
    near._in_use = False  # Modules of tests have functions that keep values near.
    # The test before may have created some that were flushed or rolled back with it.
    ContentType.objects.clear_cache()


@pytest.fixture(params=["default", "sqlite"])
def using(request: pytest.FixtureRequest) -> str:
    """The alias of a PostgreSQL database, and then of one on SQLite."""
    return str(request.param)


@pytest.fixture
def django_cache() -> Callable[[str], BaseCache]:
    """Return the cache of an alias, emptied."""

    def get(alias: str) -> BaseCache:
        cache: BaseCache = caches[alias]
        cache.clear()
        return cache

    return get
