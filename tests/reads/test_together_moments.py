"""What comes between the round trip of a block and the call that would be answered by it."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.cache import caches
from django.db import connections, transaction
from model_bakery import baker

from cache_invalidation import cached, cached_together, invalidate, no_invalidation
from cache_invalidation.connections import sees_snapshot
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from cache_invalidation.reads import ahead, protocol, together
from cache_invalidation.surfaces.tracked.units import unit_of_work
from tests.delivered import update_behind_the_back
from tests.elsewhere import apart, elsewhere
from tests.reads.aging import TIMEOUT, aged, nothing_begun, refreshed, settle
from tests.reads.fetching import fetched, learn, lookups
from tests.stores.steps import PATIENCE
from tests.testapp.models import Category, Product

__all__ = ["nothing_begun"]

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])


@cached(tags=["first"])
def first() -> str:
    return "first"


@cached(timeout=TIMEOUT)
def stock(pk: int) -> int:
    return Product.objects.values_list("stock", flat=True).get(pk=pk)


@cached(timeout=TIMEOUT)
def names() -> list[str]:
    return list(Category.objects.order_by("name").values_list("name", flat=True))


@pytest.fixture
def product() -> Product:
    return baker.make(Product, stock=1, category=baker.make(Category, name="c"))


@pytest.fixture
def pk(product: Product) -> int:
    """The key of a product whose stock, 1, is among what the block called "page" asks for."""

    def ask() -> None:
        first()
        stock(product.pk)
        names()

    learn("page", ask, pk=product.pk)
    reset_metrics()
    return product.pk


@contextmanager
def page(pk: int) -> Iterator[None]:
    """The block, in which the stock has been fetched and not been asked for."""
    with cached_together("page", pk=pk):
        first()
        yield


def sell(pk: int) -> None:
    """Set the stock to 2."""
    Product.objects.filter(pk=pk).update(stock=2)


# What others write


def test_what_others_commit_after_the_round_trip_is_not_in_it(pk):
    with page(pk):
        elsewhere(lambda: sell(pk))
        assert stock(pk) == 1
    assert stock(pk) == 2


def test_what_they_have_committed_before_it_is(pk):
    with cached_together("page", pk=pk):
        elsewhere(lambda: sell(pk))
        first()
        assert stock(pk) == 2


def test_the_next_block_is_asked_for_anew(pk):
    with page(pk):
        pass
    elsewhere(lambda: sell(pk))
    with page(pk):
        assert stock(pk) == 2


def test_what_is_computed_in_the_block_is_computed_from_what_is_true_now(pk):
    @cached
    def label(pk: int) -> str:
        return f"{stock(pk)} left"

    with page(pk):
        elsewhere(lambda: sell(pk))
        assert label(pk) == "2 left"
    assert label(pk) == "2 left"


def test_a_block_inside_of_what_is_computed_keeps_it_from_being_stored(pk):
    writes: list[int] = [1]
    computed = []

    @cached
    def label() -> str:
        computed.append(1)
        with page(pk):
            if writes:
                elsewhere(lambda: sell(writes.pop() and pk))
            return f"{stock(pk)} left"

    assert label() == "1 left"
    assert label() == "2 left"
    assert label() == "2 left"
    assert len(computed) == 2


def test_it_is_stored_under_what_it_depends_on_if_nobody_writes(pk, redis_client):
    @cached
    def label() -> str:
        with page(pk):
            return f"{stock(pk)} left"

    label()
    with lookups(redis_client) as number:
        assert label() == "1 left"
    assert number == [1]
    elsewhere(lambda: sell(pk))
    assert label() == "2 left"


def test_an_invalidation_by_name_is_not_lost_in_what_is_computed(pk):
    """It changes no version, and so nothing would refuse what is computed from the old value."""

    source = ["old"]

    @cached(tags=[])
    def rate() -> str:
        return source[0]

    @cached(tags=[])
    def prices() -> str:
        return f"prices by the {rate()} rate"

    learn("prices", lambda: (first(), rate()))
    prices()

    def change() -> None:
        source[0] = "new"
        rate.invalidate()
        prices.invalidate()

    with cached_together("prices"):
        first()
        elsewhere(change)
        assert prices() == "prices by the new rate"
    assert prices() == "prices by the new rate"


def test_nor_in_a_tracked_key(pk, settings):
    settings.CACHE_INVALIDATION = {"CACHE": "tracked"}
    cache = caches["tracked"]
    cache.clear()
    source = ["old"]

    @cached(tags=[])
    def rate() -> str:
        return source[0]

    def change() -> None:
        source[0] = "new"
        rate.invalidate()
        cache.delete("product:1")

    learn("prices", lambda: (first(), rate()))
    with unit_of_work(), cached_together("prices"):
        first()
        elsewhere(change)
        assert cache.get("product:1") is None
        cache.set("product:1", rate())
    with unit_of_work():
        assert cache.get("product:1") in (None, "new")


# What this thread writes


def save(pk: int) -> None:
    product = Product.objects.get(pk=pk)
    product.stock = 2
    product.save()


def raw(pk: int) -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute("UPDATE testapp_product SET stock = 2 WHERE id = %s", [pk])


def in_bulk(pk: int) -> None:
    Product.objects.bulk_update([Product(pk=pk, stock=2)], ["stock"])


def in_a_transaction(pk: int) -> None:
    with transaction.atomic():
        sell(pk)


def by_hand(pk: int) -> None:
    transaction.set_autocommit(False)
    try:
        sell(pk)
        transaction.commit()
    finally:
        transaction.set_autocommit(True)


WRITES = [sell, save, raw, in_bulk, in_a_transaction, by_hand]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("consistency", ["strict", "commit"])
def test_after_a_write_of_its_own_nothing_is_used_that_was_fetched(
    pk, write, consistency, settings
):
    settings.CACHE_INVALIDATION = {"CONSISTENCY": consistency}
    with page(pk):
        write(pk)
        assert stock(pk) == 2
        assert stock(pk) == 2
    assert fetched() == (2, 2)


def test_in_its_transaction_it_sees_what_it_has_written(pk):
    with page(pk), transaction.atomic():
        sell(pk)
        assert stock(pk) == 2
        assert names() == ["c"]
    assert stock(pk) == 2


def test_after_a_rollback_it_sees_what_was_before(pk):
    with page(pk):
        with pytest.raises(LookupError), transaction.atomic():
            sell(pk)
            raise LookupError
        assert stock(pk) == 1


def test_nothing_is_fetched_in_a_transaction_that_has_written(pk):
    transaction.set_autocommit(False)
    try:
        Category.objects.create(name="d")
        with page(pk):
            assert stock(pk) == 1
            sell(pk)
            transaction.commit()
            assert stock(pk) == 2
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert fetched() == (0, 0)


def test_a_transaction_that_has_written_nothing_yet_may_write_and_commit(pk):
    transaction.set_autocommit(False)
    try:
        with pytest.raises(LookupError), transaction.atomic():
            Category.objects.create(name="d")
            raise LookupError
        with page(pk):
            assert stock(pk) == 1
            sell(pk)
            assert stock(pk) == 2
            transaction.commit()
            assert stock(pk) == 2
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert fetched() == (2, 1)


def test_writes_in_the_transaction_of_a_test_count_as_committed(pk):
    # As in a `TestCase`, where each write is a "COMMIT" of its own.
    block: Any = transaction.atomic()
    block._from_testcase = True
    with block:
        with page(pk):
            sell(pk)
            assert stock(pk) == 2
        transaction.set_rollback(True)


def test_what_is_written_in_a_block_inside_counts_for_those_around_it(pk):
    with page(pk):
        with cached_together("inside"):
            sell(pk)
        assert stock(pk) == 2


def test_an_invalidation_by_hand_counts_as_a_write(pk):
    for way in (
        lambda: invalidate(tags=["unrelated"]),
        lambda: stock.invalidate(pk),
        lambda: invalidate(Product),
    ):
        assert stock(pk) == 1
        with page(pk):
            update_behind_the_back(Product.objects.filter(pk=pk), stock=2)
            way()
            counters.flush()
            stock(pk)
        assert fetched()[0] == fetched()[1] > 0
        update_behind_the_back(Product.objects.filter(pk=pk), stock=1)
        invalidate(Product)
        first(), names(), stock(pk)


def test_so_does_a_write_of_which_nobody_is_told(pk):
    with page(pk):
        with no_invalidation(), transaction.atomic():
            sell(pk)
            assert stock(pk) == 2
        assert fetched() == (0, 0)
    assert fetched() == (2, 2)


# Transactions


def test_in_a_transaction_that_has_begun_since_what_is_true_now_is_asked_for(pk):
    with page(pk):
        elsewhere(lambda: sell(pk))
        with transaction.atomic():
            Product.objects.select_for_update().get(pk=pk)
            assert stock(pk) == 2
            with transaction.atomic():
                assert stock(pk) == 2
        assert stock(pk) == 1


def test_a_block_in_a_transaction_fetches_and_uses(pk, redis_client):
    with transaction.atomic(), lookups(redis_client) as number, page(pk):
        assert stock(pk) == 1
        names()
    assert number == [1]
    with transaction.atomic(), page(pk):
        elsewhere(lambda: sell(pk))
        with transaction.atomic():
            assert stock(pk) == 2


def test_nothing_is_stored_from_a_snapshot(pk):
    with page(pk):
        invalidate(tags=["none"])
        with transaction.atomic(using="sqlite"):
            Product.objects.using("sqlite").count()
            assert sees_snapshot()
            assert stock(pk) == 1


# Threads and tasks


def test_another_thread_has_no_part_in_it(pk):
    with page(pk):
        elsewhere(lambda: sell(pk))
        assert (elsewhere(lambda: stock(pk)), stock(pk)) == (2, 1)


def test_a_thread_with_its_context_has_until_it_ends(pk):
    with page(pk):
        context = copy_context()
        assert elsewhere(lambda: context.run(lambda: sell(pk))) is None
        assert stock(pk) == 2
    with page(pk):
        context = copy_context()
    sell_again = Product.objects.filter(pk=pk).update
    elsewhere(lambda: sell_again(stock=3))
    assert elsewhere(lambda: context.run(lambda: stock(pk))) == 3


@pytest.fixture
def under_way(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Set while the round trip of a block has its answer; and what it then waits for."""
    reached, opened = threading.Event(), threading.Event()

    def slow(reads: Any) -> Any:
        found = protocol.look_for_all(reads)
        reached.set()
        assert opened.wait(PATIENCE)
        return found

    monkeypatch.setattr(together, "look_for_all", slow)
    return reached, opened


def test_what_comes_when_another_thread_of_the_block_has_written_is_not_used(pk, under_way):
    reached, opened = under_way
    with cached_together("page", pk=pk), ThreadPoolExecutor(1) as pool:
        asking = pool.submit(copy_context().run, apart(first))
        assert reached.wait(PATIENCE)
        sell(pk)
        opened.set()
        asking.result(PATIENCE)
        assert stock(pk) == 2


def test_nor_is_what_comes_when_the_block_is_over(pk, under_way):
    reached, opened = under_way

    def ask() -> int:
        first()
        sell_elsewhere.result(PATIENCE)
        return stock(pk)

    with ThreadPoolExecutor(2) as pool:
        sell_elsewhere: Any = Future()
        with cached_together("page", pk=pk):
            asking = pool.submit(copy_context().run, apart(ask))
            assert reached.wait(PATIENCE)
        sell(pk)
        sell_elsewhere.set_result(None)
        opened.set()
        assert asking.result(PATIENCE) == 2


@pytest.fixture
def acalls() -> tuple[Callable[..., Any], Callable[..., Any]]:
    @cached(tags=["afirst"])
    async def afirst() -> str:
        return "first"

    @cached(timeout=TIMEOUT)
    async def astock(pk: int) -> int:
        return await Product.objects.values_list("stock", flat=True).aget(pk=pk)

    return afirst, astock


def test_coroutines(product, acalls, redis_client):
    afirst, astock = acalls

    @cached_together
    async def view(pk: int) -> int:
        await afirst()
        return int(await astock(pk))

    async def runs() -> None:
        for _ in range(3):
            assert await view(product.pk) == 1

    async_to_sync(runs)()
    with lookups(redis_client) as number:
        assert async_to_sync(view)(product.pk) == 1
    assert number == [1]
    assert asyncio.iscoroutinefunction(view)


def test_each_task_has_its_own_block(product, acalls):
    afirst, astock = acalls
    pk = product.pk

    async def main() -> list[int]:
        await _twice(afirst, astock, pk)
        has_fetched, has_written = asyncio.Event(), asyncio.Event()

        async def reader() -> int:
            with cached_together("page", pk=pk):
                await afirst()
                has_fetched.set()
                await has_written.wait()
                return int(await astock(pk))

        async def writer() -> int:
            await has_fetched.wait()
            with cached_together("page", pk=pk):
                await afirst()
                await Product.objects.filter(pk=pk).aupdate(stock=2)
                has_written.set()
                return int(await astock(pk))

        return list(await asyncio.gather(reader(), writer()))

    assert async_to_sync(main)() == [1, 2]


async def _twice(afirst: Any, astock: Any, pk: int) -> None:
    for _ in range(3):
        with cached_together("page", pk=pk):
            await afirst()
            await astock(pk)


def test_a_task_that_outlives_the_block_asks_for_what_is_true_now(product, acalls):
    afirst, astock = acalls
    pk = product.pk

    async def main() -> int:
        await _twice(afirst, astock, pk)
        over = asyncio.Event()

        async def later() -> int:
            await over.wait()
            return int(await astock(pk))

        with cached_together("page", pk=pk):
            await afirst()
            task = asyncio.create_task(later())
            await asyncio.sleep(0)
        await sync_to_async(update_elsewhere)(pk)
        over.set()
        return await task

    assert async_to_sync(main)() == 2


def update_elsewhere(pk: int) -> None:
    elsewhere(lambda: sell(pk))


# Other ways of `cached`


def test_refresh_and_etag_ask_for_what_is_true_now(pk):
    with page(pk):
        old = stock.etag(pk)
        elsewhere(lambda: sell(pk))
        assert stock.etag(pk) != old
        assert stock.refresh(pk) == 2
    assert stock(pk) == 2


def test_with_a_lock_a_miss_is_looked_for_again(pk):
    computed = []

    @cached(tags=["locked"], lock=True)
    def locked() -> int:
        computed.append(1)
        return len(computed)

    learn("locked", lambda: (first(), locked()))
    invalidate(tags=["locked"])
    with cached_together("locked"):
        first()
        assert elsewhere(locked) == 2
        assert locked() == 2


def test_a_hit_that_is_due_is_refreshed_under_what_was_fetched(pk):
    name = "together.refreshed"

    @cached(timeout=TIMEOUT, refresh=True, name=name)
    def due() -> int:
        return Product.objects.values_list("stock", flat=True).get(pk=pk)

    learn("due", lambda: (first(), due()))
    for write, outcome in ((False, "stored"), (True, "refused")):
        ahead._turns._next.clear()
        with aged(), cached_together("due"):
            first()
            if write:
                elsewhere(lambda: sell(pk))
            assert due() == 1
            settle()
        assert refreshed(name)[outcome] == 1
    assert due() == 2


def test_a_sampled_hit_that_a_write_came_after_is_not_taken_for_stale(pk, caplog):
    @cached(sample=1)
    def sampled() -> int:
        return Product.objects.values_list("stock", flat=True).get(pk=pk)

    learn("sampled", lambda: (first(), sampled()))
    reset_metrics()
    with cached_together("sampled"):
        first()
        elsewhere(lambda: sell(pk))
        assert sampled() == 1
    assert read_metrics()["stale_hits"] == 0
    assert not caplog.records


def test_one_that_is_stale_is_found(pk, caplog):
    @cached(sample=1)
    def sampled() -> int:
        return Product.objects.values_list("stock", flat=True).get(pk=pk)

    learn("sampled", lambda: (first(), sampled()))
    reset_metrics()
    update_behind_the_back(Product.objects.filter(pk=pk), stock=3)
    with cached_together("sampled"):
        first()
        assert sampled() == 3
    assert read_metrics()["stale_hits"] == 1
    assert "was stale in the cache" in caplog.text


def test_a_cache_that_fails_costs_the_cached_values_and_no_more(pk, monkeypatch):
    def down(reads: Any) -> Any:
        raise StoreUnavailable("down")

    monkeypatch.setattr(together, "look_for_all", down)
    with page(pk):
        assert (stock(pk), names()) == (1, ["c"])
    assert fetched() == (0, 0)
