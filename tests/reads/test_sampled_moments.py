"""When a hit must not be checked, and writes that come between a hit and its check."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, transaction
from model_bakery import baker

from cache_invalidation import cached, invalidate
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from cache_invalidation.stores import get_store
from cache_invalidation.stores.redis.store import RedisStore
from example_project.servers import ValkeyServer
from tests.delivered import update_behind_the_back
from tests.elsewhere import apart, elsewhere
from tests.stores.steps import PATIENCE
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])


@pytest.fixture(autouse=True)
def nothing_counted(transactional_db: None, settings: Any) -> None:
    settings.CACHE_INVALIDATION = {"UNDECLARED_READS": "ignore"}
    reset_metrics()


@pytest.fixture
def product() -> Product:
    return baker.make(Product, stock=12)


def checks() -> tuple[int, int]:
    """Return how many hits were checked and how many of them were stale."""
    found = read_metrics()
    return found["checked_hits"], found["stale_hits"]


class Between:
    """A function that is cached; `then` happens before its second computation reads."""

    def __init__(self, product: Product) -> None:
        self.then: Callable[[], Any] | None = None
        self.rows = Product.objects.filter(pk=product.pk)

    def stock(self) -> int:
        if self.then:
            elsewhere(self.then)
        return self.rows.get().stock


@pytest.fixture
def between(product: Product) -> Between:
    return Between(product)


def test_a_write_that_commits_during_the_check_makes_it_inconclusive(between, caplog):
    page = cached(sample=1)(between.stock)
    page()
    between.then = lambda: between.rows.update(stock=3)
    assert page() == 12
    assert checks() == (0, 0)
    assert caplog.messages == []
    between.then = None
    # It was not dropped by the check, but by the write.
    assert page() == 3


def test_a_write_in_flight_during_the_check_makes_it_inconclusive(between, caplog):
    def commit_and_deliver_later() -> None:
        get_store().fence(["testapp.product:*"], [], "token")
        update_behind_the_back(between.rows, stock=3)

    page = cached(sample=1)(between.stock)
    page()
    between.then = commit_and_deliver_later
    assert page() == 12
    assert checks() == (0, 0)
    assert caplog.messages == []


def test_an_entry_that_is_dropped_by_hand_during_the_check_makes_it_inconclusive(between, caplog):
    page = cached(sample=1, tags=["a"])(between.stock)
    page()
    update_behind_the_back(between.rows, stock=3)
    between.then = page.invalidate
    assert page() == 12
    assert checks() == (0, 0)
    assert caplog.messages == []


def test_a_write_whose_delivery_comes_a_moment_after_its_commit_is_waited_for(
    between, settings, monkeypatch, caplog
):
    settings.CACHE_INVALIDATION |= {"CONSISTENCY": "commit"}
    committed, looked = threading.Event(), threading.Event()
    deliver = RedisStore.deliver

    def late(self: Any, delivery: Any) -> bool:
        if threading.current_thread() is writer:
            committed.set()
            assert looked.wait(PATIENCE)
        return deliver(self, delivery)

    @apart
    def write() -> None:
        between.rows.update(stock=3)

    def wait_for_commit() -> None:
        writer.start()
        assert committed.wait(PATIENCE)

    def pause(seconds: float) -> None:
        looked.set()
        writer.join(PATIENCE)

    page = cached(sample=1)(between.stock)
    page()
    writer = threading.Thread(target=write)
    monkeypatch.setattr(RedisStore, "deliver", late)
    monkeypatch.setattr("cache_invalidation.reads.steps.sleep", pause)
    between.then = wait_for_commit
    assert page() == 12
    assert looked.is_set(), "nobody waited"
    assert checks() == (0, 0)
    assert caplog.messages == []


def test_a_transaction_that_has_written_anything_checks_nothing(between):
    page = cached(sample=1, tags=["a"])(between.stock)
    page()
    update_behind_the_back(between.rows, stock=3)
    with transaction.atomic():
        baker.make(Category)
        assert page() == 12
    assert checks() == (0, 0)
    with transaction.atomic():
        assert page() == 3
    assert checks() == (1, 1)


def test_a_transaction_on_another_database_that_has_written_checks_nothing(between):
    page = cached(sample=1, tags=["a"])(between.stock)
    page()
    with transaction.atomic("other"):
        Category.objects.using("other").create(name="x")
        page()
    assert checks() == (0, 0)


def test_a_transaction_that_sees_a_snapshot_checks_nothing(between):
    page = cached(sample=1, tags=["a"])(between.stock)
    page()
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        between.rows.exists()
        elsewhere(lambda: update_behind_the_back(between.rows, stock=3))
        assert page() == 12
    assert checks() == (0, 0)
    with transaction.atomic("sqlite"):
        Product.objects.using("sqlite").exists()
        assert page() == 12
    assert checks() == (0, 0)
    assert page() == 3


def test_a_transaction_that_django_does_not_know_of_checks_nothing(between):
    page = cached(sample=1, tags=["a"])(between.stock)
    page()
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        update_behind_the_back(between.rows, stock=3)
        assert page() == 12
        cursor.execute("ROLLBACK")
    assert checks() == (0, 0)
    assert page() == 12
    assert checks() == (1, 0)


def test_a_transaction_that_is_broken_checks_nothing(between, caplog):
    page = cached(sample=1, tags=["a"])(between.stock)
    page()
    with transaction.atomic():
        transaction.set_rollback(True)
        assert page() == 12
    assert checks() == (0, 0)
    assert caplog.messages == []


@pytest.mark.django_db(transaction=True)
def test_a_store_that_fails_during_the_check_breaks_nothing(between, settings, valkey, caplog):
    def kill(server: ValkeyServer = valkey) -> None:
        server.kill()

    settings.CACHES = settings.CACHES | {
        "default": settings.CACHES["default"] | {"LOCATION": valkey.url}
    }
    page = cached(sample=1, tags=["a"], name="moments.page")(between.stock)
    page()
    update_behind_the_back(between.rows, stock=3)
    between.then = kill
    assert page() == 12
    assert not any("moments.page" in message for message in caplog.messages)


class TestCoroutines:
    def test_a_stale_value_is_found_counted_and_healed(self, product, caplog):
        rows = Product.objects.filter(pk=product.pk)

        computed = []

        @cached
        async def inner():
            computed.append(1)
            return (await rows.aget()).stock

        @cached(sample=1, tags=["a"], name="moments.async")
        async def page(instance):
            return await inner(), await inner.refresh(), (await rows.aget()).stock, instance.stock

        async def main():
            assert await page(product) == (12, 12, 12, 12)
            computed.clear()
            assert await page(product) == (12, 12, 12, 12)
            assert len(computed) == 1
            await sync_to_async(update_behind_the_back)(rows, stock=3)
            assert await page(product) == (3, 3, 3, 3)
            await product.arefresh_from_db()
            assert await page(product) == (3, 3, 3, 3)

        async_to_sync(main)()
        assert checks() == (2, 1)
        assert [each for each in caplog.messages if "moments.async() was stale" in each]

    def test_a_write_that_commits_during_the_check_makes_it_inconclusive(self, product, caplog):
        rows = Product.objects.filter(pk=product.pk)
        writes: list[int] = []

        @cached(sample=1)
        async def page():
            if writes:
                await sync_to_async(elsewhere)(lambda: rows.update(stock=writes.pop()))
            return (await rows.aget()).stock

        async def main():
            assert await page() == 12
            writes.append(3)
            assert await page() == 12
            assert await page() == 3

        async_to_sync(main)()
        assert checks() == (0, 0)
        assert caplog.messages == []

    def test_one_that_fails_breaks_nothing(self, caplog):
        fails: list[int] = []

        @cached(sample=1, tags=["a"])
        async def page():
            return 1 // (1 - len(fails))

        async def main():
            assert await page() == 1
            fails.append(1)
            assert await page() == 1

        async_to_sync(main)()
        assert checks() == (0, 0)
        assert len(caplog.messages) == 1

    def test_in_a_transaction_nothing_is_checked(self, between):
        @cached(sample=1, tags=["a"])
        async def page():
            return await sync_to_async(between.stock)()

        run = async_to_sync(page)
        run()
        update_behind_the_back(between.rows, stock=3)
        with transaction.atomic():
            assert run() == 12
        assert run() == 3
        invalidate(tags=["a"])
