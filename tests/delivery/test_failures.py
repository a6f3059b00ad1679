"""The cache fails in every way it can; reads compute, writes commit, nothing raises."""

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import pytest
import redis
from asgiref.sync import async_to_sync
from django.core.cache import caches
from django.db import connection, transaction
from django.dispatch import Signal

from cache_invalidation import cached, invalidate, publish
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.signals import invalidated, invalidation_failed
from cache_invalidation.stores import get_store
from example_project.servers import ValkeyServer
from tests.outages import Use, frozen, use
from tests.stores.steps import wait_until
from tests.testapp.models import Product

__all__ = ["use"]

# All databases, because what waits in any of them is delivered when the cache is back.
pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


def received(sent: Signal) -> list[dict[str, Any]]:
    """Return a list that grows with each time that the signal is sent."""
    messages: list[dict[str, Any]] = []
    sent.connect(lambda **message: messages.append(message), weak=False, dispatch_uid="test")
    return messages


@pytest.fixture(autouse=True)
def no_receivers() -> Iterator[None]:
    yield
    for each in (invalidated, invalidation_failed):
        each.disconnect(dispatch_uid="test")


@cached(tags=[Product], timeout=60, name="failures.names")
def names() -> list[str]:
    return sorted(Product.objects.values_list("name", flat=True))


@cached(tags=[Product], timeout=60, lock=True, name="failures.locked_names")
def locked_names() -> list[str]:
    return sorted(Product.objects.values_list("name", flat=True))


@cached(tags=[Product], timeout=60, name="failures.anames")
async def anames() -> list[str]:
    return sorted([name async for name in Product.objects.values_list("name", flat=True)])


@contextmanager
def killed(server: ValkeyServer) -> Iterator[None]:
    server.kill()
    yield


@contextmanager
def forbidden(server: ValkeyServer) -> Iterator[None]:
    with redis.Redis.from_url(server.url) as client:
        client.acl_setuser("default", enabled=True, nopass=True, commands=["-@all", "+acl"])
    yield


@pytest.fixture(params=[killed, frozen, forbidden], ids=lambda f: f.__name__)
def breakdown(request: pytest.FixtureRequest, valkey: ValkeyServer) -> Iterator[Any]:
    """How the server breaks down, for the rest of the test."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(request.param(valkey))


def test_reads_compute_and_writes_commit_without_the_cache(use: Use, valkey, breakdown):
    use(valkey.url)
    assert names() == locked_names() == []
    breakdown()
    product = Product.objects.create(name="a")
    assert names() == locked_names() == ["a"]
    with transaction.atomic():
        Product.objects.create(name="b")
        assert names() == ["a", "b"]
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            Product.objects.create(name="c")
            raise ZeroDivisionError
        invalidate(tags=["x"], keys=["y"], patterns=["z*"])
        publish("something.happened")
    assert names() == locked_names() == ["a", "b"]
    product.delete()
    names.invalidate()
    assert names() == names.refresh() == ["b"]
    assert async_to_sync(anames)() == ["b"]


def test_a_primary_that_is_demoted_costs_neither_a_write_nor_an_invalidation(use: Use, valkey):
    use(valkey.url)
    assert names() == []
    with redis.Redis.from_url(valkey.url) as client:
        client.replicaof("127.0.0.1", 1)
        Product.objects.create(name="a")
        assert "The server is a replica" in get_store().breaker.reason
        assert names() == ["a"]
        client.replicaof("NO", "ONE")
    Product.objects.create(name="b")
    wait_until(lambda: get_store().breaker.is_working)
    assert names() == ["a", "b"]


def test_a_server_that_is_full_still_drops_what_is_stale(use: Use, valkey):
    use(valkey.url, RETRY_INTERVAL=3600)
    assert names() == locked_names() == []
    with redis.Redis.from_url(valkey.url) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        Product.objects.create(name="a")
        assert names() == locked_names() == ["a"]
        Product.objects.create(name="b")
        assert names() == locked_names() == ["a", "b"]
        client.config_set("maxmemory", 0)
    assert names() == locked_names() == ["a", "b"]
    assert read_metrics()["failed_invalidations"] == 0


def test_a_server_that_is_full_is_not_logged_for_each_request(use: Use, valkey, caplog):
    use(valkey.url)
    with redis.Redis.from_url(valkey.url) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
    for number in range(10):
        Product.objects.create(name=str(number))
        assert len(names()) == len(locked_names()) == number + 1
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


def test_the_project_sees_its_own_hooks_run_after_a_failed_delivery(use: Use, valkey, breakdown):
    use(valkey.url)
    names()
    ran: list[str] = []
    with transaction.atomic():
        transaction.on_commit(lambda: ran.append("before"))
        Product.objects.create(name="a")
        transaction.on_commit(lambda: ran.append("after"))
        breakdown()
    assert ran == ["before", "after"]
    assert connection.get_autocommit()


def test_what_is_cached_again_after_an_outage_is_right(use: Use, valkey):
    use(valkey.url)
    assert names() == []
    valkey.kill()
    Product.objects.create(name="a")
    valkey.start()
    assert names() == ["a"]


def test_an_invalidation_that_is_lost_is_logged_with_all_its_targets(use: Use, valkey, caplog):
    caplog.set_level(logging.DEBUG, "cache_invalidation")
    use(valkey.url, ON_STORE_FAILURE="ignore")
    valkey.kill()
    failures = received(invalidation_failed)
    with transaction.atomic():
        invalidate(tags=["t:1", "t:2"], keys=["key"], patterns=["pattern*"])
    text = "\n".join(r.getMessage() for r in caplog.records if "Could not" in r.getMessage())
    assert all(target in text for target in ("t:1", "t:2", "key", "pattern*"))
    lost = [message["invalidation"] for message in failures]
    assert frozenset().union(*(each.tags for each in lost)) == {"t:1", "t:2"}
    assert frozenset().union(*(each.keys for each in lost)) == {"key"}
    assert frozenset().union(*(each.patterns for each in lost)) == {"pattern*"}
    assert {message["using"] for message in failures} == {"default"}
    assert all(isinstance(message["error"], StoreUnavailable) for message in failures)
    assert sum("failed" in r.getMessage() for r in caplog.records) == 1


def test_a_lost_invalidation_is_counted_once_the_store_is_back(use: Use, valkey, caplog):
    use(valkey.url, ON_STORE_FAILURE="ignore")
    valkey.kill()
    invalidate(tags=["t:1", "t:2"], keys=["key"], patterns=["pattern*"])
    names.invalidate()
    valkey.start()
    wait_until(lambda: get_store().breaker.is_working)
    assert read_metrics()["failed_invalidations"] == 5
    assert f"entries=['{names.key()}']" in caplog.text


def test_a_batch_that_is_lost_is_not_announced_as_delivered(use: Use, valkey):
    use(valkey.url)
    delivered = received(invalidated)
    invalidate(tags=["a"])
    valkey.kill()
    invalidate(tags=["b"])
    assert [message["invalidation"].tags for message in delivered] == [{"a"}]


def test_tags_that_are_fenced_already_are_not_lost(use: Use, valkey, caplog):
    use(valkey.url, ON_STORE_FAILURE="ignore")
    failures = received(invalidation_failed)
    connection.ensure_connection()
    driver = connection.connection

    def commit_and_kill() -> None:
        type(driver).commit(driver)
        valkey.kill()

    with mock.patch.object(driver, "commit", commit_and_kill), transaction.atomic():
        invalidate(tags=["a", "b"], keys=["key"])
    (failure,) = failures
    assert failure["invalidation"].tags == frozenset()
    assert failure["invalidation"].keys == {"key"}
    assert "tags=[] keys=['key']" in caplog.text
    valkey.start()
    wait_until(lambda: get_store().breaker.is_working)
    assert read_metrics()["failed_invalidations"] == 1


def test_fenced_tags_are_lost_all_the_same_once_the_fence_may_have_lapsed(use: Use, valkey):
    use(valkey.url, FENCE_TIMEOUT=0.05, ON_STORE_FAILURE="ignore")
    failures = received(invalidation_failed)
    connection.ensure_connection()
    driver = connection.connection

    def commit_late_and_kill() -> None:
        time.sleep(0.1)
        type(driver).commit(driver)
        valkey.kill()

    with mock.patch.object(driver, "commit", commit_late_and_kill), transaction.atomic():
        invalidate(tags=["a", "b"])
    assert [message["invalidation"].tags for message in failures] == [{"a", "b"}]


def test_an_observer_that_raises_changes_nothing(use: Use, valkey):
    def explode(**message: Any) -> None:
        raise RuntimeError("observer")

    use(valkey.url)
    for each in (invalidated, invalidation_failed):
        each.connect(explode, weak=False, dispatch_uid="test")
    with transaction.atomic():
        Product.objects.create(name="a")
    valkey.kill()
    with transaction.atomic():
        Product.objects.create(name="b")
    assert names() == ["a", "b"]


def test_patterns_on_a_cache_that_cannot_list_its_keys_are_counted_and_logged(settings, caplog):
    settings.CACHE_INVALIDATION = {"CACHE": "redis_django", "METRICS_FLUSH_INTERVAL": 3600}
    failures = received(invalidation_failed)
    caches["redis_django"].set("key", 1)
    invalidate(keys=["key"], patterns=["list:*", "detail:*"])
    assert caches["redis_django"].get("key") is None
    assert "'list:*'" in caplog.text
    assert "cannot list its keys" in caplog.text
    assert [message["invalidation"].patterns for message in failures] == [{"list:*", "detail:*"}]
    assert read_metrics()["failed_invalidations"] == 2
    assert get_store().breaker.is_working
