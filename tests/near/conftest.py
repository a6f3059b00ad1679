"""What tests of near values have in common."""

from collections.abc import Callable, Iterator
from threading import Event
from time import monotonic
from typing import Any, Final

import pytest
import redis

from cache_invalidation import stores
from cache_invalidation.conf import Settings
from cache_invalidation.stores import get_store, near
from cache_invalidation.stores.near.memory import Kept
from cache_invalidation.stores.redis.store import RedisStore
from tests.stores.steps import PATIENCE
from tests.testapp.models import Product

AN_HOUR: Final = 3600.0


@pytest.fixture(autouse=True)
def long_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no lease run out while a test runs, however busy the machine is.

    A module that is about that has a fixture of this name that changes nothing.
    """
    monkeypatch.setattr(Settings.NEAR_WAIT, "default", AN_HOUR)


@pytest.fixture(autouse=True)
def in_use(long_leases: None, redis_client: redis.Redis) -> Iterator[None]:
    """Somebody may keep values near, until the end of the test, and has for a while."""
    near.take_into_use()
    store: Any = get_store()
    store.ping()
    redis_client.set(f"{store._near}e", f"+0@{store._servers.identity}")
    yield
    stores._forget("CACHES")  # With the thread that keeps the lease.


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is the case, however long a busy machine takes for that."""
    deadline, pause = monotonic() + PATIENCE, Event()
    while not condition():
        assert monotonic() < deadline, "it does not come to that"
        pause.wait(0.005)


def has_lease(store: Any) -> bool:
    return bool(store.near.holder())


@pytest.fixture
def store() -> RedisStore:
    """The store of this process, with a lease."""
    store = get_store()
    assert isinstance(store, RedisStore)
    until(lambda: has_lease(store))
    return store


@pytest.fixture
def other() -> Iterator[RedisStore]:
    """That of another process, as far as the server can tell."""
    store = RedisStore("default")
    store.ping()
    yield store
    store.close()


def keep_elsewhere(other: Any, entry: str, name: str) -> None:
    """Have the `other` process keep what is stored at `entry`, under a name."""
    until(lambda: has_lease(other))
    memory = other.near.memory
    found, stamp, _ = other.hold(entry, (), memory.lease.holder)
    keys = frozenset({entry, *map(other.version_key, found.versions)})
    kept = Kept(entry, b"", True, "", memory.lease, stamp, {}, b"", keys, 1e9, b"", name)
    assert memory.keep(kept, 10**6)


@pytest.fixture
def product() -> Product:
    return Product.objects.create(name="old")
