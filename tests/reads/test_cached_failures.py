"""`cached` when something is wrong: the caller gets the value, or the function's own exception."""

import logging
from collections.abc import Callable
from threading import Lock
from typing import Any

import pytest
import redis
from django.core.cache import cache
from django.test import override_settings

from cache_invalidation import cached, invalidate
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import Delivery, entry_name


@pytest.mark.parametrize(
    ("alias", "make"), [("default", Lock), ("default", lambda: lambda: 1), ("zlib", lambda: {1})]
)
@pytest.mark.parametrize("lock", [False, True])
def test_a_value_that_cannot_be_serialised_is_returned_and_logged(alias, make, lock, caplog):
    made = []

    @cached(tags=["a"], lock=lock)
    def page():
        made.append(make())
        return made[-1]

    with override_settings(CACHE_INVALIDATION={"CACHE": alias}):
        assert page() is made[0]
        assert page() is made[1]
    assert caplog.text.count("returned a value that cannot be stored") == 1
    assert "page()" in caplog.text


def test_a_value_that_cannot_be_serialised_does_not_make_the_cache_look_broken():
    @cached(tags=["a"])
    def bad():
        return Lock()

    calls = []

    @cached(tags=["a"])
    def good():
        return calls.append(1)

    bad()
    good()
    good()
    assert len(calls) == 1


Spoil = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: b"",
        lambda raw: b"garbage",
        lambda raw: raw[:1],
        lambda raw: raw[:6],
        lambda raw: raw[:12],
        lambda raw: raw[:21],
        lambda raw: raw[:-3],
        lambda raw: raw[:17] + b"not a pickle",
        lambda raw: raw[:1] + bytes(8) + b"\xff\xff\xff\xff" + raw[13:],
        lambda raw: bytes(255 - byte for byte in raw),
        lambda raw: b"\xff" * 100,
        lambda raw: raw[:1] + b"\x00" * 200,
    ],
    ids=[
        *("empty", "garbage", "one byte", "half a seal", "half a length", "half a payload"),
        *("cut short", "no pickle", "absurd length", "inverted", "all ones", "all zeros"),
    ],
)
def test_an_entry_that_was_damaged_is_computed_and_stored_anew(spoil: Spoil, redis_client: Any):
    calls = []

    @cached(tags=["a"])
    def page():
        calls.append(1)
        return {"number": len(calls)}

    name = cache.make_key(entry_name(page.key()))
    assert page() == {"number": 1}
    redis_client.set(name, spoil(redis_client.get(name)))
    assert page() == {"number": 2}
    assert page() == {"number": 2}


def test_the_entry_of_another_call_in_the_place_of_this_one_is_not_taken(redis_client: redis.Redis):
    @cached(tags=["number:{number}"])
    def page(number):
        return number

    page(1)
    page(2)
    names = [cache.make_key(entry_name(page.key(number))) for number in (1, 2)]
    stored: Any = redis_client.get(names[0])
    redis_client.set(names[1], stored)
    assert page(2) == 2


def test_an_exception_of_the_function_reaches_the_caller_and_is_not_cached():
    calls = []

    @cached(tags=["a"])
    def page():
        calls.append(1)
        if len(calls) < 3:
            raise LookupError(len(calls))
        return "a page"

    for number in (1, 2):
        with pytest.raises(LookupError, match=str(number)):
            page()
    assert page() == page() == "a page"
    assert len(calls) == 3


def test_nothing_is_stored_while_a_write_is_in_flight():
    calls = []

    @cached(tags=["a"])
    def page():
        calls.append(1)
        return len(calls)

    assert page() == 1
    get_store().fence(["a"], [], "token")
    assert (page(), page()) == (2, 3)
    get_store().deliver(Delivery(token="token", tags=["a"]))
    assert page() == page() == 4


def test_without_a_server_every_call_is_computed_and_none_fails(tmp_path, caplog):
    gone = {
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": f"unix://{tmp_path}/nobody.sock",
        }
    }
    calls = []

    @cached(tags=["a"], lock=True)
    def page():
        calls.append(1)
        return len(calls)

    with override_settings(CACHES=gone), caplog.at_level(logging.ERROR):
        assert [page(), page(), page.refresh()] == [1, 2, 3]
        page.invalidate()
        invalidate(tags=["a"])
    # An outage is told once, and each invalidation that it costs.
    assert caplog.text.count("going on without it") == 1
    assert caplog.text.count("Could not invalidate") >= 1


def test_a_value_from_a_user_that_cannot_be_encoded_does_not_fail_the_call():
    @cached(tags=["query:{query}"])
    def search(query):
        return "nothing found"

    # Half a surrogate pair, which JSON can bring.
    assert search("\ud800") == search("\ud800") == "nothing found"
