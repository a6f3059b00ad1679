"""What is special about a cache that is a table in the database that is written to."""

import threading
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from django.core.cache import caches
from django.db import OperationalError, ProgrammingError, connection, connections, transaction

from cache_invalidation import cached, invalidate
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.stores import get_store
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.breaker import State
from cache_invalidation.stores.database_cache import DatabaseCacheStore
from cache_invalidation.stores.messages import Filling
from tests.elsewhere import apart
from tests.stores.steps import (
    MISS,
    PATIENCE,
    drop,
    is_fenced,
    keep,
    recall,
    remember,
    sample,
    wait_until,
)
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def table(settings: Any) -> DatabaseCacheStore:
    settings.CACHE_INVALIDATION = {"CACHE": "dbcache", "RETRY_INTERVAL": 0.001}
    caches["dbcache"].clear()
    store = get_store()
    assert isinstance(store, DatabaseCacheStore)
    return store


@pytest.fixture
def missing_table(settings: Any) -> Store:
    settings.CACHES = settings.CACHES | {
        "missing": settings.CACHES["dbcache"] | {"LOCATION": "no_such_table"}
    }
    settings.CACHE_INVALIDATION = {"CACHE": "missing", "RETRY_INTERVAL": 0.001}
    return get_store()


def elsewhere(function: Callable[[], object]) -> threading.Thread:
    """Start `function` in another thread, with database connections of its own."""

    thread = threading.Thread(target=apart(function))
    thread.start()
    return thread


def test_a_missing_table_does_not_cost_the_transaction(missing_table: Store):
    @cached(tags=[Product])
    def names() -> list[str]:
        return list(Product.objects.values_list("name", flat=True))

    with transaction.atomic():
        assert names() == []
        Product.objects.create(name="a")
        assert names() == ["a"]
        invalidate(tags=["x"], keys=["y"])
    assert names() == ["a"]
    assert Product.objects.get().name == "a"


def test_a_missing_table_does_not_cost_a_transaction_managed_by_hand(missing_table: Store):
    transaction.set_autocommit(False)
    try:
        Product.objects.create(name="a")
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert Product.objects.count() == 1


def test_every_step_in_a_transaction_leaves_it_usable(missing_table: Store):
    steps: list[Callable[[], object]] = [
        lambda: missing_table.lookup(missing_table.entry_place("page"), ["a"]),
        lambda: missing_table.versions(["a"]),
        lambda: missing_table.mint(["a"], 60),
        lambda: missing_table.fill(
            Filling(entry="page", payload=b"1", versions={"a": "v"}, timeout=60)
        ),
        lambda: missing_table.acquire(missing_table.entry_place("page"), "t", 60),
        lambda: missing_table.release(missing_table.entry_place("page"), "t"),
        lambda: missing_table.fence(["a"], [], "t"),
        lambda: drop(missing_table, "a"),
        lambda: missing_table.count({"hits": 1}),
        lambda: missing_table.counters(),
        lambda: missing_table.counters_per_minute([1]),
        lambda: missing_table.reset_counters(),
    ]
    for step in steps:
        missing_table.breaker.state = State.WORKING
        with transaction.atomic():
            with pytest.raises(StoreUnavailable, match="no_such_table"):
                step()
            assert Product.objects.count() == 0


def test_what_is_delivered_after_commit_is_committed_too(table: DatabaseCacheStore):
    remember(table, "page", "old", "x")
    with transaction.atomic():
        invalidate(tags=["x"])
    connection.close()
    assert recall(table, "page", "x") == MISS
    assert table.versions(["x"]) == {"x": None}
    assert table.counters()["tags"] == "1"


def test_a_rollback_takes_the_fence_along(table: DatabaseCacheStore):
    remember(table, "page", "value", "x")
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        table.fence(["x"], [], "writer")
        raise ZeroDivisionError
    assert recall(table, "page", "x") == "value"


def test_a_broken_transaction_is_not_taken_for_a_broken_cache(table: DatabaseCacheStore):
    with pytest.raises(StoreUnavailable), transaction.atomic():
        with pytest.raises(ProgrammingError):
            connection.cursor().execute("SELECT nonsense")
        table.versions(["a"])
    assert table.breaker.is_working
    with transaction.atomic():
        transaction.set_rollback(True)
        with pytest.raises(StoreUnavailable):
            table.versions(["a"])
    assert table.breaker.is_working
    assert table.versions(["a"]) == {"a": None}


def test_a_fence_gets_past_a_version_that_somebody_mints_at_the_same_time(
    table: DatabaseCacheStore,
):
    with transaction.atomic():
        sample(table, "page", "a")
        # It waits for the row that is not committed yet.
        writer = elsewhere(lambda: table.fence(["a"], [], "writer"))
        wait_until(_somebody_waits_for_a_lock)
    writer.join()
    assert is_fenced(table, "a")
    assert table.breaker.is_working


def test_two_writers_who_fence_a_new_tag_at_the_same_time_are_both_counted(
    table: DatabaseCacheStore,
):
    with transaction.atomic():
        table.fence(["a"], [], "first")
        second = elsewhere(lambda: get_store().fence(["a"], [], "second"))
        wait_until(_somebody_waits_for_a_lock)
    second.join()
    drop(table, "a", token="first")
    assert is_fenced(table, "a")
    drop(table, "a", token="second")
    assert table.versions(["a"]) == {"a": None}


def _somebody_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


def test_a_fence_that_cannot_be_written_is_no_fence_and_no_outage(table: DatabaseCacheStore):
    remember(table, "page", "value", "a")
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert Product.objects.count() == 0
        # The row changes, so that nobody with an older snapshot can change it again.
        elsewhere(lambda: drop(table, "a")).join()
        elsewhere(lambda: remember(table, "page", "new", "a")).join()
        with pytest.raises(StoreUnavailable, match="could not set"):
            table.fence(["a"], [], "writer")
        assert Product.objects.count() == 0
    assert table.breaker.is_working


def test_counters_outlive_the_default_timeout_of_the_cache(settings: Any):
    settings.CACHES = settings.CACHES | {"brief": settings.CACHES["dbcache"] | {"TIMEOUT": 1}}
    settings.CACHE_INVALIDATION = {"CACHE": "brief"}
    store = get_store()
    caches["brief"].clear()
    store.count({"hits": 1})
    store.count({"hits": 1})
    caches["brief"].set("plain", 1)
    wait_until(lambda: caches["brief"].get("plain") is None)
    assert store.counters()["hits"] == "2"


def test_a_database_that_is_gone_costs_nothing_but_the_cache(settings: Any, caplog):
    settings.CACHE_INVALIDATION = {"CACHE": "dbcache"}
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            pid = cursor.fetchone()[0]
        elsewhere(lambda: _terminate(pid)).join()
        with pytest.raises(StoreUnavailable):
            get_store().versions(["a"])
        with pytest.raises(OperationalError):
            Product.objects.count()
        connection.close()
    assert Product.objects.count() == 0


def test_a_database_that_goes_right_after_commit_does_not_make_the_write_look_failed(
    table: DatabaseCacheStore,
):
    connection.ensure_connection()
    driver = connection.connection

    def commit_and_go() -> None:
        type(driver).commit(driver)
        elsewhere(lambda: _terminate(driver.info.backend_pid)).join()

    with mock.patch.object(driver, "commit", commit_and_go), transaction.atomic():
        Product.objects.create(name="a")
        invalidate(tags=["x"])
    connection.close()
    assert Product.objects.count() == 1


def _terminate(pid: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, %s)", [pid, int(1000 * PATIENCE)])


def test_two_requests_that_store_the_same_entry_do_not_wait_for_each_other(table: Store):
    remember(table, "page", "old", "a")
    before = sample(table, "page", "a")
    waits = []

    def store_the_same() -> None:
        waits.append(pid_of(connection))
        keep(table, "page", "same", before)

    with transaction.atomic():
        keep(table, "page", "value", before)
        thread = elsewhere(store_the_same)
        wait_until(lambda: waits and is_waiting(waits[0]))
        # Were there one lock for all of them, this would wait for who waits for this one.
        own = elsewhere(lambda: remember(table, "other", "value", "b"))
        own.join(PATIENCE)
        is_stuck = own.is_alive()
    for each in (thread, own):
        each.join()
    assert not is_stuck


def pid_of(connection: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def is_waiting(pid: int) -> bool:
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT wait_event_type FROM pg_stat_activity WHERE pid = %s", [pid])
        return bool(cursor.fetchone() == ("Lock",))
