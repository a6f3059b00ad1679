"""A pool that has no connection to spare, which says nothing about the server."""

import time
from typing import Any

import pytest

from cache_invalidation.exceptions import StoreRefused
from cache_invalidation.stores import get_store
from cache_invalidation.stores.breaker import State
from tests.stores.steps import alias_of

WAIT = 1.0  # seconds, for a connection that somebody gives back


@pytest.mark.parametrize(
    ("kind", "options", "patience"),
    [("ConnectionPool", {}, 0), ("BlockingConnectionPool", {"timeout": WAIT}, WAIT)],
)
def test_a_pool_without_a_connection_to_spare_is_no_outage(
    settings: Any, kind: str, options: dict[str, Any], patience: float
):
    default = settings.CACHES["default"]
    pooled = {
        "CONNECTION_POOL_CLASS": f"redis.connection.{kind}",
        "CONNECTION_POOL_KWARGS": {"max_connections": 1, **options},
    }
    config = default | {"OPTIONS": default["OPTIONS"] | pooled}
    store: Any = get_store(alias_of(settings, "pooled", config))
    pool = store._servers._pool
    taken = pool.get_connection()
    began = time.monotonic()
    with pytest.raises(StoreRefused):
        store.versions(["a"])
    assert time.monotonic() - began < patience + WAIT / 2
    assert store.breaker.state is State.CLOSED
    pool.release(taken)
    assert store.versions(["a"]) == {"a": None}
