"""A pool that has no connection to spare, which says nothing about the server."""

from typing import Any
from unittest import mock

import pytest

from cache_invalidation.exceptions import StoreRefused
from cache_invalidation.stores import get_store
from cache_invalidation.stores.breaker import State
from tests.stores.steps import alias_of


@pytest.mark.parametrize(
    ("kind", "options"), [("ConnectionPool", {}), ("BlockingConnectionPool", {"timeout": 0.1})]
)
def test_a_pool_without_a_connection_to_spare_is_asked_once_and_is_no_outage(
    settings: Any, kind: str, options: dict[str, Any]
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
    with (
        mock.patch.object(pool, "get_connection", wraps=pool.get_connection) as asked,
        pytest.raises(StoreRefused),
    ):
        store.versions(["a"])
    assert asked.call_count == 1
    assert store.breaker.state is State.WORKING
    pool.release(taken)
    assert store.versions(["a"]) == {"a": None}
