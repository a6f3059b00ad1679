"""What tests of near values have in common."""

from collections.abc import Callable, Iterator
from threading import Event
from time import monotonic
from typing import Any

import pytest

from cache_invalidation import stores
from cache_invalidation.stores import get_store, near
from cache_invalidation.stores.redis.store import RedisStore
from tests.stores.steps import PATIENCE


@pytest.fixture(autouse=True)
def in_use() -> Iterator[None]:
    """Somebody may keep values near, until the end of the test."""
    before = near.is_in_use()
    near.take_into_use()
    yield
    near._in_use = before
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
    yield store
    store.close()
