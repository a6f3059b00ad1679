"""Scenes that need nobody else, each in a process where everything is a greenlet."""

import logging
import os
from collections.abc import Callable
from threading import Event, get_ident
from typing import Any
from unittest import mock

import gevent
import redis
from django.conf import settings
from django.core.cache import cache, caches
from django.db import connection, connections, transaction
from django.test import override_settings
from django.utils import translation
from gevent.event import Event as Turn

from cache_invalidation import cached, unit_of_work
from cache_invalidation.models import PendingInvalidation
from cache_invalidation.reads.background import background
from cache_invalidation.stores import get_store
from cache_invalidation.stores.recovery import on_recovery
from cache_invalidation.stores.redis.connection import Primary
from example_project.servers import ValkeyServer
from tests.near.conftest import has_lease, until
from tests.stores.steps import PATIENCE
from tests.testapp.models import Category, Product

computed: list[str] = []

CHILDREN = 5  # Each may be the first to read what their parent is answered.

#: Whose turn it is to go on, where two of them take turns.
inside, outside = Turn(), Turn()


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Return what greenlets return; raise what one of them raises."""
    greenlets = [gevent.spawn(_closing, call) for call in calls]
    gevent.joinall(greenlets, timeout=PATIENCE, raise_error=True)
    return [greenlet.get(block=False) for greenlet in greenlets]


def _closing(call: Callable[[], Any]) -> Any:
    try:
        return call()
    finally:
        connections.close_all()


def everything_is_patched() -> None:
    """Greenlets are told apart by what the app tells threads and contexts apart by."""
    told = together(*[lambda: (get_ident(), id(connections["default"]), id(caches["default"]))] * 2)
    assert all(len(set(each)) == 2 for each in zip(*told, strict=True))


@cached()
def products() -> int:
    computed.append("products")
    number = Product.objects.count()
    inside.set()
    assert outside.wait(PATIENCE)
    return number


@cached()
def categories() -> int:
    computed.append("categories")
    return Category.objects.count()


def recordings_are_apart() -> None:
    """What one greenlet reads while another computes something is no dependency of that."""

    def another() -> None:
        assert inside.wait(PATIENCE)
        categories()
        list(Category.objects.all())
        outside.set()

    together(products, another)
    Category.objects.create(name="new")
    assert together(products, categories) == [0, 1]
    assert computed == ["products", "categories", "categories"]
    Product.objects.create(name="new")
    assert together(products, categories) == [1, 1]
    assert computed[3:] == ["products"]


def journals_are_apart() -> None:
    """What is set by hand in one greenlet does not depend on what another one reads."""

    def sets() -> None:
        with unit_of_work():
            assert cache.get("product:all") is None
            number = Product.objects.count()
            inside.set()
            assert outside.wait(PATIENCE)
            assert cache.set("product:all", number, 300)  # type: ignore[func-returns-value]

    def another() -> None:
        with unit_of_work():
            assert inside.wait(PATIENCE)
            Category.objects.count()
            outside.set()

    together(sets, another)
    Category.objects.create(name="new")
    assert cache.get("product:all") == 0
    Product.objects.create(name="new")
    assert cache.get("product:all") is None


@cached(near=True)
def name_of(pk: int) -> str:
    return Product.objects.get(pk=pk).name


@cached(vary_on=["language"])
def language() -> str:
    Product.objects.count()
    gevent.sleep(0.001)
    return translation.get_language() or ""


def batches_are_apart() -> None:
    """What one greenlet has written and not committed is its own, and goes with its transaction."""
    product = Product.objects.create(name="old")
    until(lambda: name_of(product.pk) == "old" and has_lease(get_store()))

    def writes() -> None:
        with transaction.atomic():
            Product.objects.filter(pk=product.pk).update(name="new")
            assert name_of(product.pk) == "new"
            inside.set()
            assert outside.wait(PATIENCE)
            transaction.set_rollback(True)

    def another() -> None:
        assert inside.wait(PATIENCE)
        with transaction.atomic():
            Category.objects.create(name="new")
            assert name_of(product.pk) == "old"
        assert name_of(product.pk) == "old"
        outside.set()

    together(writes, another)
    assert name_of(product.pk) == "old"
    Product.objects.filter(pk=product.pk).update(name="newer")
    assert name_of(product.pk) == "newer"


def languages_are_apart() -> None:
    """What a value is for is what is active in the greenlet that asks."""

    def asks(code: str) -> str:
        with translation.override(code):
            gevent.sleep(0.001)
            return language()

    assert together(*[lambda code=code: asks(code) for code in ("de", "fr", "nl") * 2]) == [
        *("de", "fr", "nl") * 2
    ]


def outages_end() -> None:
    """A greenlet waits for the cache to be back, and delivers what was written meanwhile."""
    logging.disable(logging.ERROR)  # That there is an outage is no news.
    with (
        ValkeyServer() as server,
        override_settings(
            CACHES={"default": {**settings.CACHES["default"], "LOCATION": server.url}},
            CACHE_INVALIDATION={"RETRY_INTERVAL": 0.1},
        ),
    ):
        product, store = Product.objects.create(name="old"), get_store()
        until(lambda: name_of(product.pk) == "old" and has_lease(store))
        server.kill()
        Product.objects.filter(pk=product.pk).update(name="new")
        assert PendingInvalidation.objects.exists()
        assert together(*[lambda: name_of(product.pk)] * 3) == ["new"] * 3
        server.start()
        until(lambda: store.breaker.is_working and not PendingInvalidation.objects.exists())
        assert name_of(product.pk) == "new"
        until(lambda: has_lease(store))
        store.close()


def the_background_works() -> None:
    """What nobody waits for is done in greenlets, and does not keep the process from ending."""
    done, ident = Event(), get_ident()
    assert background.run(lambda: done.set() if get_ident() != ident else None)
    assert done.wait(PATIENCE)
    assert background.wait(PATIENCE)
    assert background.run(lambda: gevent.sleep(PATIENCE))
    gevent.sleep(0)


def _is_left_to_the_parent(begin: Callable[[Callable[[], bool]], object]) -> None:
    """Fork beside a greenlet that asks the database, and see that it is answered then and later."""
    parent, children, answers = os.getpid(), list[int](), list[int]()

    def work() -> bool:
        with connection.cursor() as cursor:
            if not answers:
                inside.set()
                cursor.execute("SELECT pg_sleep(0.3)")
            if os.getpid() == parent:
                assert outside.wait(PATIENCE)
                cursor.execute("SELECT 1")
                answers.append(cursor.fetchone()[0])
        return True

    inside.clear()
    outside.clear()
    begin(work)
    assert inside.wait(PATIENCE)
    for _ in range(CHILDREN):
        if not (child := os.fork()):
            gevent.sleep(0.5)  # The greenlet goes on, as far as it may.
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * CHILDREN
    outside.set()
    until(lambda: len(answers) > 0)


def the_background_is_left_to_the_parent() -> None:
    """A child does not end the connections of a task that its parent is in the middle of."""
    _is_left_to_the_parent(background.run)
    assert background.wait(PATIENCE)


def outages_are_left_to_the_parent() -> None:
    """A child does not end the connection by which its parent delivers what was not delivered."""
    logging.disable(logging.ERROR)
    store = get_store()

    def begin(work: Callable[[], bool]) -> None:
        on_recovery(lambda deadline, stopped: work())
        store.breaker.failed(OSError("it is down"))
        store.recovery.begin()

    _is_left_to_the_parent(begin)
    until(lambda: store.breaker.is_working)


def what_was_asked_is_left_to_the_parent() -> None:
    """A child does not ask again what its parent waits for: that would say it once more."""
    parent, exchange = os.getpid(), Primary._exchange_once
    heard, says = os.pipe()

    def noted(self: Primary, *args: Any, **kwargs: Any) -> Any:
        os.write(says, b"p" if os.getpid() == parent else b"c")
        return exchange(self, *args, **kwargs)

    get_store().ping()
    with mock.patch.object(Primary, "_exchange_once", noted):
        with redis.Redis.from_url(settings.CACHES["default"]["LOCATION"]) as client:
            client.client_pause(300)
        asking = gevent.spawn(get_store().ping)
        gevent.sleep(0)
        if not (child := os.fork()):
            gevent.sleep(0.5)
            os._exit(0)
        asking.get(timeout=PATIENCE)
        assert os.waitpid(child, 0)[1] == 0
    os.close(says)
    assert b"c" not in os.read(heard, 1000)


def it_ends() -> None:
    """Neither what keeps the lease nor what waits for the cache keeps the process from ending."""
    logging.disable(logging.ERROR)
    product, store = Product.objects.create(name="old"), get_store()
    until(lambda: name_of(product.pk) == "old" and has_lease(store))
    store.breaker.failed(OSError("it is down"))
    store.recovery.begin()
