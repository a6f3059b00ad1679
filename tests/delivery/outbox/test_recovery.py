"""The store is back: what waited is delivered before anybody trusts it again."""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import pytest
import redis
from django.core.cache import caches
from django.db import connections, transaction

from cache_invalidation import invalidate
from cache_invalidation.delivery.outbox import draining
from cache_invalidation.metrics.report import read_metrics, store_state
from cache_invalidation.models import backlog
from cache_invalidation.stores import get_store, recovery
from cache_invalidation.stores.breaker import State
from example_project.servers import ValkeyServer
from tests.delivered import update_behind_the_back
from tests.delivery.outbox.rows import names, rows
from tests.elsewhere import elsewhere
from tests.outages import Use, deliver_nothing, notice, suspended, wait_for
from tests.stores.steps import PATIENCE, wait_until
from tests.testapp.models import Product

DATABASES = ["default", "other", "sqlite"]

pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)


@contextmanager
def _killed(server: ValkeyServer) -> Iterator[None]:
    server.kill()
    notice()
    yield
    server.start()


@contextmanager
def restarted_empty(server: ValkeyServer) -> Iterator[None]:
    with _killed(server):
        yield


@contextmanager
def restarted_from_a_snapshot(server: ValkeyServer) -> Iterator[None]:
    """What it holds afterwards was valid when a product "snapshot" was there and no other."""
    Product.objects.all().delete()
    Product.objects.create(name="snapshot")
    assert names() == names() == ["snapshot"]
    with redis.Redis.from_url(server.url) as client:
        client.save()
    Product.objects.filter(name="snapshot").update(name="later")
    assert names() == names() == ["later"]
    with _killed(server):
        yield


OUTAGES = [suspended, restarted_empty, restarted_from_a_snapshot]

Outage = Callable[[ValkeyServer], Any]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Delivering what waits begins as soon as this is set."""
    gate = Event()

    def catch_up(deadline: float | None, stopped: Event) -> bool:
        assert gate.wait(PATIENCE)
        return draining.catch_up(deadline, stopped)

    monkeypatch.setattr(recovery, "_steps", [catch_up])
    yield gate
    gate.set()


def is_hit() -> bool:
    """Whether products are read from the cache; changes one of them behind its back."""
    before = names()
    update_behind_the_back(Product.objects.order_by(), name="unseen")
    return names() == before


@pytest.mark.parametrize("outage", OUTAGES)
def test_reads_are_right_while_it_lasts_and_afterwards_and_then_hit(
    use: Use, valkey: ValkeyServer, outage: Outage
) -> None:
    use(valkey.url)
    with outage(valkey):
        Product.objects.all().delete()
        assert names() == []
        with transaction.atomic():
            Product.objects.create(name="a")
        assert names() == names() == ["a"]
        Product.objects.bulk_create([Product(name="b")])
        Product.objects.filter(name="a").update(name="c")
        assert names() == names() == ["b", "c"]
        assert get_store().breaker.state == State.DOWN
        assert backlog() > 0
    while not get_store().breaker.is_working:
        assert names() == ["b", "c"]
    assert backlog() == 0
    assert names() == names() == ["b", "c"]
    assert is_hit()
    found = read_metrics()
    assert found["failed_invalidations"] == 0
    assert found["invalidations_by_entity_type"]["testapp.product"] >= 3


def test_all_that_waits_is_delivered_on_every_database(use: Use, valkey: ValkeyServer) -> None:
    use(valkey.url)
    caches["default"].set_many({"k": 1, "p:1": 1, "stays": 1})
    for using in DATABASES:
        assert names(using) == names(using) == []
    with suspended(valkey):
        for using in DATABASES:
            with transaction.atomic(using=using):
                Product.objects.using(using).create(name=using)
        invalidate(keys=["k"], patterns=["p:*"])
        assert backlog() == 4
    wait_for(State.WORKING)
    for using in DATABASES:
        assert names(using) == [using]
    assert caches["default"].get_many(["k", "p:1", "stays"]) == {"stays": 1}
    assert backlog() == 0


def test_readers_wait_for_what_writers_no_longer_wait_for(
    use: Use, valkey: ValkeyServer, gate: Event
) -> None:
    use(valkey.url)
    assert names() == names() == []
    with suspended(valkey):
        Product.objects.create(name="a")
        assert store_state()["state"] == "down"
        assert "TimeoutError" in store_state()["reason"]
    wait_for(State.RECOVERING)
    assert store_state()["state"] == "recovering"
    (waiting,) = rows()
    assert names() == ["a"]
    assert not is_hit()
    with transaction.atomic():
        Product.objects.all().delete()
        Product.objects.create(name="b")
    Product.objects.create(name="c")
    assert rows() == [waiting], "writers reach the store"
    assert names() == ["b", "c"]
    assert store_state()["state"] == "recovering"
    gate.set()
    wait_for(State.WORKING)
    assert rows() == []
    assert names() == names() == ["b", "c"]
    assert store_state()["reason"] == ""
    assert store_state()["outages"] == 1


def test_a_store_that_fails_again_while_it_recovers_is_not_trusted(
    use: Use, valkey: ValkeyServer, gate: Event
) -> None:
    use(valkey.url)
    assert names() == names() == []
    with suspended(valkey):
        Product.objects.create(name="a")
    wait_for(State.RECOVERING)
    with suspended(valkey):
        Product.objects.create(name="b")
        assert store_state()["state"] == "down"
        failures = get_store().breaker.failures
        gate.set()
        wait_until(lambda: get_store().breaker.failures > failures + 1)
        assert store_state()["state"] == "down"
        assert len(rows()) == 2
        assert names() == ["a", "b"]
    wait_for(State.WORKING)
    assert names() == names() == ["a", "b"]
    assert rows() == []


def test_a_failure_behind_the_last_look_at_the_outbox_keeps_it_from_being_trusted(
    use: Use, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    left: list[int] = []

    def catch_up_and_write(deadline: float | None, stopped: Event) -> bool:
        if deadline is None:
            left.append(backlog())  # By now it is trusted.
        done = draining.catch_up(deadline, stopped)
        if not written:
            written.append(1)
            with suspended(valkey):
                elsewhere(lambda: Product.objects.create(name="b"))
        return done

    monkeypatch.setattr(recovery, "_steps", [catch_up_and_write])
    use(valkey.url)
    assert names() == names() == []
    with suspended(valkey):
        Product.objects.create(name="a")
    wait_for(State.WORKING)
    assert names() == names() == ["a", "b"]
    wait_until(lambda: left)
    assert left == [0]


def test_a_child_that_is_forked_while_it_lasts_delivers_by_itself(
    use: Use, valkey: ValkeyServer
) -> None:
    use(valkey.url)
    assert names() == names() == []
    with suspended(valkey):
        Product.objects.create(name="a")
        deliver_nothing()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Of forking with threads.
            child = os.fork()
        if not child:
            try:
                _be_the_child()
            finally:
                os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert rows() == []
    assert not get_store().breaker.is_working, "this process waits by itself"


def _be_the_child() -> None:
    inherited = []  # It belongs to the parent, which would miss it.
    for connection in connections.all(initialized_only=True):
        inherited.append(connection.connection)
        connection.connection = None
    right = names() == ["a"]
    wait_for(State.WORKING)
    right = right and names() == names() == ["a"] and rows() == []
    os._exit(0 if right else 2)
