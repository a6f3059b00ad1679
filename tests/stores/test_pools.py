"""A pool that has no connection to spare, which says nothing about the server."""

from typing import Any
from unittest import mock

import pytest

from cache_invalidation.exceptions import StoreRefused
from cache_invalidation.stores import get_store
from cache_invalidation.stores.breaker import State
from tests.stores.steps import alias_of


def _store_with(settings: Any, kind: str, **options: Any) -> Any:
    default = settings.CACHES["default"]
    pooled = {
        "CONNECTION_POOL_CLASS": f"redis.connection.{kind}",
        "CONNECTION_POOL_KWARGS": options,
    }
    config = default | {"OPTIONS": default["OPTIONS"] | pooled}
    return get_store(alias_of(settings, "pooled", config))


@pytest.mark.parametrize(
    ("kind", "options"), [("ConnectionPool", {}), ("BlockingConnectionPool", {"timeout": 0.1})]
)
def test_a_pool_without_a_connection_to_spare_is_asked_once_and_is_no_outage(
    settings: Any, kind: str, options: dict[str, Any]
):
    store = _store_with(settings, kind, max_connections=1, **options)
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


@pytest.mark.parametrize(("kind", "times"), [("ConnectionPool", 1), ("BlockingConnectionPool", 3)])
def test_only_a_pool_that_nobody_waits_for_is_left_alone_between_commands(
    settings: Any, kind: str, times: int
):
    store = _store_with(settings, kind)
    pool = store._servers._pool
    with mock.patch.object(pool, "get_connection", wraps=pool.get_connection) as asked:
        for _ in range(3):
            store.versions(["a"])
    assert asked.call_count == times


def test_once_one_turns_out_to_be_closed_all_connections_are_checked(
    settings: Any, redis_client: Any
):
    store = _store_with(settings, "ConnectionPool")
    waiting = store._servers._waiting
    several = [waiting.take() for _ in range(3)]
    for connection in several:
        waiting.give_back(connection)
    assert redis_client.client_kill_filter(_type="normal", skipme=True) >= 3
    for _ in range(4):
        assert store.versions(["a"]) == {"a": None}
    assert store.breaker.outages == 0
    assert any(waiting.take() is each for each in several)


def test_what_has_not_worked_goes_back_to_the_pool(settings: Any):
    store = _store_with(settings, "ConnectionPool", max_connections=1)
    waiting = store._servers._waiting
    connection = waiting.take()
    connection.disconnect()
    waiting.give_back(connection)
    assert waiting.take(checked=True) is connection
    waiting.give_back(connection)
    store._servers.close()
    assert waiting.take(checked=True) is connection
