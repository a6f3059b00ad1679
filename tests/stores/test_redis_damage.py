"""Foreign values under our names: nothing raises, and nobody else's invalidation suffers."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from cache_invalidation import cached, invalidate
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import is_fence
from tests.stores.steps import MISS, drop, recall, remember

ENTRY, VERSION = "test:1:ci:e:", "test:1:ci:t:"

GARBAGE = [
    b"",
    b"\x00",
    b"\x05",
    b"\x05" + b"x" * 40,
    b"\x10",
    b"\x10short",
    b"\x10" + b"x" * 12 + b"\xff\xff\xff\xff",
    b"\x11",
    b"\x11short",
    b"\x11" + b"x" * 8 + b"\xff\xff\xff\xff",
    b"\x11" + b"x" * 8 + b"\x00\x00\x00\x03\xff\xfe\xfd",
    b"\x11" + b"x" * 8 + b"\x00\x00\x00\x03\xff\xfe\xfd\x00rest",
    b"\x11" + b"x" * 8 + b"\x00\x00\x00\x03\xff\xfe\xfd\xffrest",
    b"\xff\xfe\xfd",
    b"!",
    b"!!@@",
    b"!writer@never",
    b"!writer@999999999999999999999999999999",
    b"!writer@-1",
    b"~",
    b"~\xff",
    b"42",
]

OTHER_TYPES: dict[str, Callable[[Any, str], object]] = {
    "list": lambda client, name: client.rpush(name, "x"),
    "hash": lambda client, name: client.hset(name, "x", "y"),
    "set": lambda client, name: client.sadd(name, "x"),
    "stream": lambda client, name: client.xadd(name, {"x": "y"}),
}


@pytest.fixture(params=OTHER_TYPES)
def put(request: pytest.FixtureRequest, redis_client: Any) -> Callable[[str], object]:
    """Put a value of another type in the place of whatever is under a name."""

    def replace(name: str) -> None:
        redis_client.delete(name)
        OTHER_TYPES[request.param](redis_client, name)

    return replace


@pytest.fixture
def page() -> Any:
    numbers = iter(range(1_000))

    @cached(tags=["a", "b"], timeout=60)
    def page() -> int:
        return next(numbers)

    return page


@pytest.mark.parametrize("garbage", GARBAGE, ids=repr)
def test_garbage_under_an_entry_costs_a_computation(page, redis_client, garbage):
    page()
    redis_client.set(ENTRY + page.key(), garbage)
    first, second = page(), page()
    assert first == 1
    assert second in (1, 2)
    assert get_store().breaker.outages == 0


@pytest.mark.parametrize("garbage", GARBAGE, ids=repr)
@pytest.mark.django_db(transaction=True)
def test_garbage_under_an_entry_goes_away_with_its_invalidation(page, redis_client, garbage):
    page()
    redis_client.set(ENTRY + page.key(), garbage)
    page.invalidate()
    assert page() == page() == 1


@pytest.mark.parametrize("garbage", GARBAGE, ids=repr)
def test_garbage_under_a_version_costs_a_computation(page, redis_client, garbage):
    page()
    redis_client.set(VERSION + "a", garbage)
    assert page() == 1
    assert page() in (1, 2)
    assert get_store().breaker.outages == 0


@pytest.mark.parametrize("garbage", GARBAGE, ids=repr)
@pytest.mark.django_db(transaction=True)
def test_garbage_under_a_version_goes_away_with_its_invalidation(page, redis_client, garbage):
    page()
    redis_client.set(VERSION + "a", garbage)
    with transaction.atomic():
        invalidate(tags=["a"])
    assert page() == page()
    assert get_store().breaker.outages == 0


def test_garbage_in_a_fence_does_not_make_it_endless(redis_store, redis_client):
    redis_client.set(VERSION + "a", "!writer@9999999999999")
    drop(redis_store, "a", token="writer")
    assert not is_fence(redis_store.versions(["a"])["a"])


def test_another_type_under_an_entry_costs_a_computation(page, put):
    page()
    put(ENTRY + page.key())
    assert page() == 1
    assert page() in (1, 2)
    assert get_store().breaker.outages == 0


def test_another_type_under_a_version_costs_a_computation(page, put):
    page()
    put(VERSION + "a")
    assert page() == 1
    assert page() in (1, 2)
    assert get_store().breaker.outages == 0


@pytest.mark.django_db(transaction=True)
def test_another_type_under_a_version_goes_away_with_its_invalidation(page, put):
    page()
    put(VERSION + "a")
    with transaction.atomic():
        invalidate(tags=["a"])
    assert page() == page()
    assert get_store().breaker.outages == 0


@pytest.mark.django_db(transaction=True)
def test_another_type_under_an_entry_goes_away_with_its_invalidation(page, put):
    page()
    put(ENTRY + page.key())
    page.invalidate()
    assert page() == page()
    assert get_store().breaker.outages == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("bad", ["0", "5", "9"])
def test_another_type_under_one_tag_saves_no_other_tag_from_invalidation(put, redis_store, bad):
    tags = list("0123456789")
    for tag in tags:
        remember(redis_store, f"page {tag}", "old", tag)
    put(VERSION + bad)
    with transaction.atomic():
        invalidate(tags=tags)
    assert [recall(redis_store, f"page {tag}", tag) for tag in tags] == [MISS] * 10


def test_another_type_under_the_root_version_is_survived_by_new_connections(page, put):
    page()
    put(VERSION + "*")
    store: Any = get_store()
    store.close()
    assert page() == 1
    assert store.breaker.outages == 0


@pytest.mark.django_db(transaction=True)
def test_another_type_under_the_counters_keeps_nothing_from_being_invalidated(
    redis_store, redis_client
):
    remember(redis_store, "page", "old", "a")
    redis_client.set("test:1:ci:{counters}", "not a hash")
    with transaction.atomic():
        invalidate(tags=["a"])
    assert recall(redis_store, "page", "a") == MISS


def test_a_value_that_another_program_serialised_is_computed_anew(page, redis_client, caplog):
    page()
    raw = redis_client.get(ENTRY + page.key())
    redis_client.set(ENTRY + page.key(), raw[:21] + b"not a pickle")
    assert page() == page() == 1
    assert "cannot be read" in caplog.text
