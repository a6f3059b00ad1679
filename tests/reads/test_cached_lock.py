"""`lock=True`: one caller computes, the others wait for it, and never for too long."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from django.core.cache import cache

from cache_invalidation import cached, invalidate
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import Delivery, lock_name
from tests.stores.steps import PATIENCE

CALLERS = 100


def at_once(function: Callable[[], Any], callers: int = CALLERS) -> list[Any]:
    """Call `function` from many threads at the same moment; return what each of them got."""
    barrier = threading.Barrier(callers)

    def call(_: int) -> Any:
        barrier.wait()
        return function()

    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(call, range(callers)))


def is_locked(client: redis.Redis, key: str) -> bool:
    return bool(client.exists(cache.make_key(lock_name(get_store().entry_place(key)))))


def slow(calls: list[int], seconds: float = 0.1) -> int:
    calls.append(1)
    number = len(calls)
    time.sleep(seconds)
    return number


def test_of_many_callers_one_computes_and_all_get_its_value(redis_client):
    calls: list[int] = []

    @cached(tags=["a"], lock=True)
    def page():
        return slow(calls)

    assert at_once(page) == [1] * CALLERS
    assert len(calls) == 1
    assert not is_locked(redis_client, page.key())
    invalidate(tags=["a"])
    assert at_once(page) == [2] * CALLERS


def test_of_a_hundred_callers_one_computes(settings):
    settings.CACHE_INVALIDATION = {"LOCK_TIMEOUT": PATIENCE}
    calls: list[int] = []

    @cached(tags=["a"], lock=True, timeout=60, refresh=True)
    def page():
        return slow(calls)

    assert at_once(page, 100) == [1] * 100
    assert calls == [1]


def test_callers_with_other_arguments_do_not_wait_for_each_other():
    # Were they to wait, the barrier would break.
    meeting = threading.Barrier(2, timeout=PATIENCE)

    @cached(tags=["a"], lock=True)
    def page(number):
        meeting.wait()
        return number

    numbers = iter([1, 2])
    assert sorted(at_once(lambda: page(next(numbers)), 2)) == [1, 2]


def test_without_a_lock_everybody_computes():
    meeting = threading.Barrier(2, timeout=PATIENCE)

    @cached(tags=["a"])
    def page():
        meeting.wait()

    at_once(page, 2)


def test_a_caller_who_waits_for_somebody_who_died_computes_in_the_end(settings, redis_client):
    settings.CACHE_INVALIDATION = {"LOCK_TIMEOUT": 0.1}
    calls: list[int] = []

    @cached(tags=["a"], lock=True)
    def page():
        return slow(calls, 0)

    # The lock of a process that was killed, and whose clock stood far from ours.
    assert get_store().acquire(get_store().entry_place(page.key()), "dead", 60)
    assert page() == page() == 1
    assert is_locked(redis_client, page.key())


def test_the_lock_of_somebody_who_died_lapses_by_itself(settings, redis_client):
    settings.CACHE_INVALIDATION = {"LOCK_TIMEOUT": 60}

    @cached(tags=["a"], lock=True)
    def page():
        return "computed"

    assert get_store().acquire(get_store().entry_place(page.key()), "dead", 0.05)
    assert page() == "computed"


def test_a_lock_is_released_only_by_its_owner(settings, redis_client):
    settings.CACHE_INVALIDATION = {"LOCK_TIMEOUT": 0.02}
    taken: list[int] = []

    @cached(tags=["a"], lock=True)
    def page():
        # Slower than the lock lasts: somebody else takes it meanwhile.
        while not get_store().acquire(get_store().entry_place(page.key()), "other", 60):
            time.sleep(0.005)
        taken.append(1)

    page()
    assert taken
    assert is_locked(redis_client, page.key())


@pytest.mark.parametrize("error", [LookupError, KeyboardInterrupt])
def test_an_exception_releases_the_lock_and_is_not_cached(error, redis_client):
    calls: list[int] = []

    @cached(tags=["a"], lock=True)
    def page():
        calls.append(1)
        if len(calls) == 1:
            raise error
        return "a page"

    with pytest.raises(error):
        page()
    assert not is_locked(redis_client, page.key())
    assert page() == page() == "a page"
    assert len(calls) == 2


def test_when_the_one_who_computes_fails_the_next_takes_its_place():
    calls: list[int] = []

    @cached(tags=["a"], lock=True)
    def page():
        if slow(calls, 0.05) == 1:
            raise LookupError
        return "a page"

    def outcome() -> Any:
        try:
            return page()
        except LookupError:
            return None

    found = at_once(outcome)
    assert found.count(None) == 1
    assert found.count("a page") == CALLERS - 1
    assert len(calls) == 2


def test_nobody_waits_for_a_value_that_will_not_be_stored(redis_client):
    meeting = threading.Barrier(2, timeout=PATIENCE)

    @cached(tags=["a"], lock=True)
    def page():
        meeting.wait()
        return "computed"

    get_store().fence(["a"], [], "token")
    assert at_once(page, 2) == ["computed"] * 2
    get_store().deliver(Delivery(token="token", tags=["a"]))


def test_a_hit_takes_no_lock(redis_client):
    @cached(tags=["a"], lock=True)
    def page():
        return "a page"

    page()
    assert get_store().acquire(get_store().entry_place(page.key()), "somebody", 60)
    assert page() == "a page"


def test_refresh_waits_for_nobody():
    calls: list[int] = []

    @cached(tags=["a"], lock=True)
    def page():
        return slow(calls, 0)

    assert get_store().acquire(get_store().entry_place(page.key()), "somebody", 60)
    assert page.refresh() == 1
    assert page() == 1


def test_a_locked_function_may_call_another():
    @cached(tags=["inner"], lock=True)
    def inner():
        return "inner"

    @cached(tags=["outer"], lock=True)
    def outer():
        return f"outer of {inner()}"

    assert at_once(outer) == ["outer of inner"] * CALLERS
