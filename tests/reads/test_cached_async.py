"""`cached` on coroutine functions: the same promises, and no thread that waits."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.core.cache import cache
from django.db import transaction
from model_bakery import baker

from cache_invalidation import ModelInvalidation, cached, invalidate, registry
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import lock_name
from tests.delivered import commands
from tests.stores.steps import PATIENCE
from tests.testapp.models import Product

WAIT = 0.05  # seconds

Test = Callable[..., Coroutine[Any, Any, None]]


def run(main: Test) -> None:
    async_to_sync(main)()


def is_locked(client: Any, key: str) -> bool:
    return bool(client.exists(cache.make_key(lock_name(get_store().entry_place(key)))))


def test_a_coroutine_function_stays_one():
    @cached(tags=["a"])
    async def page():
        """Return a page."""

    assert iscoroutinefunction(page)
    assert page.__doc__ == "Return a page."


def test_a_value_is_computed_once_and_none_is_a_value(redis_client):
    calls = []

    @cached(tags=["a"])
    async def page(category_id, number=1):
        calls.append(category_id)

    async def main():
        assert await page(3) is None
        assert await page(number=1, category_id=3) is None
        assert await page(4) is None

    run(main)
    assert calls == [3, 4]
    with commands(redis_client) as sent:
        async_to_sync(page)(3)
    assert sent == {"mget": 1}


def test_invalidate_refresh_uncached_and_key_work_as_for_functions():
    calls = []

    @cached(tags=["a"])
    async def page(number=1):
        calls.append(number)
        return len(calls)

    async def main():
        assert await page() == await page(1) == 1
        await page.invalidate(number=1)
        assert await page() == 2
        assert await page.refresh() == 3
        assert await page() == 3
        assert await page.uncached() == 4
        assert await page() == 3
        assert page.key() == page.key(1) != page.key(2)
        await sync_to_async(invalidate)(tags=["a"])
        assert await page() == 5

    run(main)


def test_methods_may_be_coroutines(monkeypatch):
    calls = []

    @cached(tags=["p:{self}"])
    async def summary(self):
        calls.append(self.pk)
        return len(calls)

    model: Any = Product
    monkeypatch.setattr(model, "summary", summary, raising=False)

    async def main():
        product = model(pk=1)
        assert await product.summary() == await product.summary() == 1
        await product.summary.invalidate()
        assert await product.summary() == 2
        assert await product.summary.refresh() == 3

    run(main)


def test_an_exception_reaches_the_caller_releases_the_lock_and_is_not_cached(redis_client):
    calls = []

    @cached(tags=["a"], lock=True)
    async def page():
        calls.append(1)
        if len(calls) == 1:
            raise LookupError
        return "a page"

    async def main():
        with pytest.raises(LookupError):
            await page()
        assert not is_locked(redis_client, page.key())
        assert await page() == await page() == "a page"

    run(main)
    assert len(calls) == 2


@pytest.mark.parametrize("gathered", [False, True])
def test_the_outer_depends_on_the_tags_of_the_inner_also_when_they_run_at_once(gathered):
    calls = []

    @cached(tags=["number:{number}"])
    async def inner(number):
        await asyncio.sleep(0)
        return number

    @cached(tags=["front"])
    async def outer():
        calls.append(1)
        if gathered:
            return sum(await asyncio.gather(*map(inner, range(5))))
        return sum([await inner(number) for number in range(5)])

    async def main():
        assert await outer() == await outer() == 10
        assert len(calls) == 1
        await sync_to_async(invalidate)(tags=["number:3"])
        assert await outer() == await outer() == 10
        assert len(calls) == 2

    run(main)


def test_a_function_inside_of_a_coroutine_hands_its_tags_up():
    calls: list[int] = []

    @cached(tags=["inner"])
    def inner():
        return len(calls)

    @cached(tags=["front"])
    async def outer():
        calls.append(1)
        return await sync_to_async(inner)()

    async def main():
        assert await outer() == await outer() == 1
        await sync_to_async(invalidate)(tags=["inner"])
        assert await outer() == 2

    run(main)


def test_an_outer_that_catches_what_the_inner_raises_depends_on_the_inner_all_the_same():
    products: dict[int, str] = {}

    @cached(tags=["product:{pk}"])
    async def name(pk):
        return products[pk]

    @cached(tags=["front"])
    async def front():
        try:
            return await name(1)
        except KeyError:
            return "nothing yet"

    async def main():
        assert await front() == "nothing yet"
        products[1] = "a product"
        await sync_to_async(invalidate)(tags=["product:1"])
        assert await front() == "a product"

    run(main)


def test_of_twenty_coroutines_one_computes_and_all_get_its_value(redis_client):
    calls = []

    @cached(tags=["a"], lock=True)
    async def page():
        calls.append(1)
        await asyncio.sleep(WAIT)
        return len(calls)

    async def main():
        found = await asyncio.wait_for(asyncio.gather(*(page() for _ in range(20))), PATIENCE)
        assert found == [1] * 20

    run(main)
    assert len(calls) == 1
    assert not is_locked(redis_client, page.key())


@pytest.mark.django_db(transaction=True)
def test_twenty_coroutines_that_wait_do_not_keep_the_one_that_computes_from_the_database():
    calls = []

    @cached(tags=[Product], lock=True)
    async def count():
        calls.append(1)
        await asyncio.sleep(WAIT)
        return await Product.objects.acount()

    async def main():
        found = await asyncio.wait_for(asyncio.gather(*(count() for _ in range(20))), PATIENCE)
        assert found == [0] * 20
        assert len(calls) == 1
        await Product.objects.acreate(name="x")
        assert await count() == 1

    with registry.override(Product, ModelInvalidation):
        run(main)


def test_a_coroutine_that_waits_for_somebody_who_died_computes_in_the_end(settings):
    settings.CACHE_INVALIDATION = {"LOCK_TIMEOUT": 0.1}

    @cached(tags=["a"], lock=True)
    async def page():
        return "computed"

    assert get_store().acquire(get_store().entry_place(page.key()), "dead", 60)
    assert async_to_sync(page)() == "computed"


def test_a_coroutine_that_is_cancelled_lets_the_next_compute(redis_client):
    started: list[asyncio.Event] = []

    @cached(tags=["a"], lock=True)
    async def page():
        started[0].set()
        await asyncio.sleep(60 if len(started) == 1 else 0)
        return "a page"

    async def main():
        started.append(asyncio.Event())
        task = asyncio.ensure_future(page())
        await started[0].wait()
        assert is_locked(redis_client, page.key())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not is_locked(redis_client, page.key())
        started.append(asyncio.Event())
        assert await page() == "a page"

    run(main)


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_has_written_sees_its_own_writes_and_leaks_none():
    @cached(tags=[Product])
    async def count():
        return await Product.objects.acount()

    with registry.override(Product, ModelInvalidation):
        assert async_to_sync(count)() == 0
        with pytest.raises(RuntimeError), transaction.atomic():
            baker.make(Product)
            assert async_to_sync(count)() == 1
            raise RuntimeError
        assert async_to_sync(count)() == 0


def test_hits_and_misses_are_counted_as_for_functions():
    @cached(tags=["a"], name="counted coroutine")
    async def page(): ...

    async def main():
        for _ in range(4):
            await page()
        await page.refresh()

    reset_metrics()
    run(main)
    assert read_metrics()["functions"] == {
        "counted coroutine": {"hits": 3, "misses": 1, "bypasses": 0, "hit_rate": 0.75}
    }
