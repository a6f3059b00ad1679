"""A server that answers, and refuses something, is not down; nor is one that nobody can reach."""

import threading
from threading import Thread
from typing import Any

import pytest
import redis

from cache_invalidation import invalidate
from cache_invalidation.delivery.outbox.draining import drain_all
from cache_invalidation.exceptions import StoreRefused, StoreUnavailable
from cache_invalidation.stores import get_store
from cache_invalidation.stores.breaker import State
from example_project.servers import ValkeyServer
from tests.delivery.outbox.rows import let_wait, names, rows, targets
from tests.outages import Use, notice, suspended, wait_for
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])


def forbid(server: ValkeyServer, command: str) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.acl_setuser(
            "default", enabled=True, nopass=True, keys="*", commands=["+@all", f"-{command}"]
        )


def test_a_pattern_that_is_refused_waits_and_the_cache_is_used(use: Use, valkey: ValkeyServer):
    forbid(valkey, "scan")
    use(valkey.url)
    assert names() == []
    invalidate(tags=["a"], patterns=["x:*"])
    assert targets() == [{"patterns": ["x:*"]}]
    assert get_store().breaker.state == State.WORKING


def test_a_row_that_is_refused_does_not_keep_the_others_nor_the_cache(
    use: Use, valkey: ValkeyServer
):
    forbid(valkey, "scan")
    use(valkey.url)
    assert names() == []
    with suspended(valkey):
        invalidate(patterns=["x:*"])
        Product.objects.create(name="a")
    wait_for(State.WORKING)
    assert names() == ["a"]
    (row,) = rows()
    assert row.targets["patterns"] == ["x:*"]
    assert row.attempts
    assert "NOPERM" in row.last_error or "no permissions" in row.last_error


def test_draining_stops_where_everything_is_refused(
    up: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []

    def refuse(delivery: Any) -> None:
        sent.append(delivery)
        raise StoreRefused("READONLY")

    up()
    let_wait(450)
    with monkeypatch.context() as patch, pytest.raises(StoreUnavailable, match="READONLY"):
        patch.setattr(get_store(), "deliver", refuse)
        drain_all()
    assert len(sent) == 101  # The batch, and each of its rows.
    assert len(rows()) == 450


def test_a_thread_that_cannot_be_started_costs_neither_a_page_nor_an_invalidation(
    use: Use, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
):
    def start(self: Thread) -> None:
        raise RuntimeError("can't start new thread")

    use(valkey.url)
    assert names() == []
    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", start)
        with suspended(valkey):
            assert names() == []
            Product.objects.create(name="a")
            assert names() == ["a"]
        assert len(rows()) == 1
    notice()
    wait_for(State.WORKING)
    assert names() == ["a"]


def test_an_error_that_nobody_has_thought_of_does_not_start_thread_after_thread(
    use: Use, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
):
    asked = []

    def ping() -> None:
        asked.append(threading.get_ident())
        raise KeyError("unexpected")

    use(valkey.url, RETRY_INTERVAL=60)
    store = get_store()
    monkeypatch.setattr(store, "ping", ping)
    store.breaker.failed(OSError("down"))
    for _ in range(200):
        assert names() == []
    assert len(set(asked)) <= 1


def test_a_pool_without_a_connection_to_spare_is_no_outage(
    use: Use, valkey: ValkeyServer, settings: Any
):
    use(valkey.url)
    default = settings.CACHES["default"]
    options = default["OPTIONS"] | {"CONNECTION_POOL_KWARGS": {"max_connections": 1}}
    settings.CACHES = settings.CACHES | {"default": default | {"OPTIONS": options}}
    store: Any = get_store()
    store.versions(["a"])
    waiting = store._servers._waiting
    taken = waiting.take()
    try:
        assert names() == []
    finally:
        waiting.give_back(taken)
    assert store.breaker.outages == 0


def test_a_call_that_fails_late_does_not_begin_another_outage(use: Use, valkey: ValkeyServer):
    use(valkey.url)
    breaker = get_store().breaker
    before = breaker.outages
    with suspended(valkey):
        pass
    wait_for(State.WORKING)
    breaker.failed(TimeoutError("began long ago"), before)
    assert breaker.state == State.WORKING
    assert breaker.outages == 1


def test_nobody_waits_for_a_cache_that_is_back(use: Use, valkey: ValkeyServer):
    use(valkey.url)
    assert names() == []
    store = get_store()
    store.recovery.begin()  # By a caller who has just seen that it was down.
    assert store.recovery._thread is not None
    store.recovery._thread.join()
    assert store.breaker.state == State.WORKING
