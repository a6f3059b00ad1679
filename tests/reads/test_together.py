"""`cached_together`: what a block asks for is learned, and fetched in one round trip."""

import gc
from typing import Any
from uuid import UUID

import pytest
from django.utils import translation

from cache_invalidation import cached, cached_together, invalidate
from cache_invalidation.reads import profiles
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import Delivery
from tests.reads.fetching import fetched, hits, learn, lookups
from tests.tenants import serving


@cached(tags=["one"])
def one() -> list[str]:
    return ["one"]


@cached(tags=["two"])
def two() -> list[str]:
    return ["two"]


@cached(tags=["three:{number}"], timeout=300)
def three(number: Any, more: Any = None) -> str:
    return f"three {number}"


def ask() -> None:
    one()
    two()
    three(3)
    three(4)


def test_what_was_asked_for_twice_is_fetched_with_the_first_call(redis_client):
    ask()
    for expected in (4, 4, 1, 1):
        with lookups(redis_client) as number, cached_together("page"):
            ask()
        assert number == [expected]
    assert fetched() == (6, 0)


def test_blocks_of_other_names_and_no_block_at_all_do_as_ever(redis_client):
    learn("page", ask)
    with lookups(redis_client) as number:
        ask()
        with cached_together("another page"):
            ask()
    assert number == [8]
    assert fetched() == (0, 0)


def test_a_value_that_was_fetched_is_got_as_often_as_it_is_asked_for(redis_client):
    learn("page", ask)
    with lookups(redis_client) as number, cached_together("page"):
        for _ in range(5):
            ask()
    assert number == [1 + 4]  # The first one was not fetched ahead.
    assert fetched() == (3, 0)


def test_hits_are_counted_once_each_and_for_their_function():
    learn("page", ask)
    before = hits(two.signature.name)
    with cached_together("page"):
        ask()
    assert hits(two.signature.name) == (before[0] + 1, before[1])


def test_each_caller_has_a_value_of_its_own():
    learn("page", ask)
    with cached_together("page"):
        one()
        two().append("mine")
        assert two() == ["two"]
        assert two() is not two()


def test_what_is_not_asked_for_any_more_is_not_fetched_any_more():
    learn("page", ask)
    learn("page", ask)
    for _ in range(2):
        with cached_together("page"):
            one()
    assert fetched() == (12, 6)
    with cached_together("page"):
        one()
    assert fetched() == (12, 6)


def test_what_is_never_in_the_cache_is_not_fetched():
    @cached(tags=["fenced"])
    def fenced() -> int:
        return 1

    get_store().fence(["fenced"], [], "token")
    for _ in range(4):
        with cached_together("page"):
            one()
            fenced()
    get_store().deliver(Delivery(token="token", tags=["fenced"]))
    assert fetched() == (0, 0)


def test_a_miss_among_what_was_fetched_is_computed_and_stored(redis_client):
    learn("page", ask)
    invalidate(tags=["two"])
    with cached_together("page"):
        ask()
    with lookups(redis_client) as number:
        two()
    assert number == [1]
    assert fetched() == (3, 1)
    assert hits(two.signature.name)[1] == 2


def test_the_first_call_may_be_a_miss(redis_client):
    learn("page", ask)
    invalidate(tags=["one"])
    with cached_together("page"):
        ask()
    assert fetched() == (3, 0)
    assert hits(one.signature.name)[1] == 2


def test_nothing_is_fetched_if_nothing_is_asked_for(redis_client):
    learn("page", ask)
    with lookups(redis_client) as number, cached_together("page"):
        pass
    assert number == [0]
    with lookups(redis_client) as number, cached_together("page"):
        ask()
    assert number == [1]


def test_a_run_that_raises_teaches_nothing(redis_client):
    learn("page", ask)
    for _ in range(5):
        with pytest.raises(LookupError), cached_together("page"):
            one()
            raise LookupError
    with lookups(redis_client) as number, cached_together("page"):
        ask()
    assert number == [1]


# What it is run for


@cached_together
def show(request: Any, pk: Any, order: str = "name") -> None:
    one()
    three(pk)
    three(pk, order)
    three(pk, more="x")


def test_an_argument_of_the_block_takes_its_place_in_the_calls(redis_client):
    for pk in (10, 20, 30, 31):
        three(pk), three(pk, "name"), three(pk, more="x")
    one()
    for pk in (10, 20):
        show(object(), pk=pk)
    for pk in (30, 31):
        with lookups(redis_client) as number:
            show(object(), pk=pk)
        assert number == [1]
    assert fetched() == (6, 0)


@pytest.mark.parametrize("pk", [7, "seven", UUID(int=7)])
def test_arguments_are_told_apart_by_type(redis_client, pk):
    calls = [(pk,), (1,), (True,), ("1",), (None,)]
    learn("page", lambda: [three(*call) for call in calls], pk=pk)
    with lookups(redis_client) as number, cached_together("page", pk=pk):
        assert [three(*call) for call in calls] == [f"three {call[0]}" for call in calls]
    assert number == [1]


def test_a_call_whose_arguments_are_others_each_time_is_not_fetched():
    for number in range(10):
        three(number)
        with cached_together("page"):
            one()
            three(number)
    assert fetched() == (0, 0)


@pytest.mark.parametrize("argument", ["x" * 101, 1 << 101, 1.5, b"1", (1, 2)])
def test_arguments_that_are_big_or_may_change_are_not_kept(argument):
    learn("page", lambda: (one(), three(argument)))
    learn("page", lambda: (one(), three(argument)))
    assert fetched() == (0, 0)


def test_tags_of_a_callable_are_not_asked_for_ahead():
    asked = []

    def tags_of(number: int) -> list[str]:
        asked.append(number)
        return ["called"]

    @cached(tags=[tags_of])
    def called(number: int) -> int:
        return number

    learn("page", lambda: (one(), called(1)))
    asked.clear()
    with cached_together("page"):
        one()
    assert asked == []


def test_a_function_that_is_gone_is_not_kept(redis_client):
    @cached(tags=["local"])
    def local() -> int:
        return 1

    functions: list[Any] = [one, local]
    learn("page", lambda: [function() for function in functions])
    del functions[1], local
    gc.collect()
    with lookups(redis_client) as number, cached_together("page"):
        one()
    assert number == [1]
    assert fetched() == (0, 0)


# Bounds


def test_so_many_calls_of_a_block_are_remembered(monkeypatch):
    monkeypatch.setattr(profiles, "CALLS", 5)
    monkeypatch.setattr("cache_invalidation.reads.together.CALLS", 5)
    learn("page", lambda: [three(number) for number in range(20)])
    with cached_together("page"):
        one()
    assert fetched() == (5, 5)


def test_so_many_bytes_are_fetched(monkeypatch):
    @cached(tags=["big"])
    def big(number: int) -> bytes:
        return bytes(1000)

    monkeypatch.setattr(profiles, "BYTES", 3500)
    learn("page", lambda: [big(number) for number in range(20)])
    with cached_together("page"):
        one()
    assert fetched() == (3, 3)


def test_so_many_blocks_are_remembered(monkeypatch):
    monkeypatch.setattr(profiles, "PROFILES", 5)
    for number in range(20):
        profiles.profile_of(str(number))
    assert len(profiles._profiles) == 5


# For whom


def test_a_value_for_another_language_is_not_served(redis_client):
    @cached(tags=[], vary_on="language")
    def greeting() -> str:
        return translation.get_language() or ""

    def in_language() -> str:
        one()
        return greeting()

    with translation.override("de"):
        in_language()
    learn("page", in_language)
    with cached_together("page"):
        one()
        with translation.override("de"):
            assert greeting() == "de"
        assert greeting() == "en-us"
    with translation.override("de"), lookups(redis_client) as number, cached_together("page"):
        assert in_language() == "de"
    assert number == [1]


def test_what_varies_on_something_that_nobody_has_said_is_not_fetched():
    def shop() -> str:
        if not served:
            raise LookupError("nobody")
        return served[0]

    served = ["a"]

    @cached(tags=[], vary_on=shop)
    def of_shop() -> str:
        return served[0]

    learn("page", lambda: (one(), of_shop()))
    served.clear()
    with cached_together("page"):
        one()
        served.append("b")
        assert of_shop() == "b"
    assert fetched() == (0, 0)


def test_what_is_fetched_and_not_asked_for_is_no_part_of_what_is_computed():
    computed = []

    @cached(tags=[], vary_on="language")
    def greeting() -> str:
        return translation.get_language() or ""

    @cached(tags=[])
    def unvaried() -> None:
        computed.append(1)
        with cached_together("page"):
            one()

    learn("page", lambda: (one(), greeting()))
    unvaried()
    unvaried()
    assert fetched() == (1, 1)
    assert len(computed) == 1


def test_a_value_of_another_tenant_is_not_served(settings):
    settings.CACHES = settings.CACHES | {
        "default": settings.CACHES["default"] | {"KEY_FUNCTION": "tests.tenants.by_tenant"}
    }

    @cached(tags=["tenants"])
    def who() -> str:
        from tests.tenants import tenant

        return tenant.get()

    with serving("b"):
        who()
    with serving("a"):
        learn("page", lambda: (one(), who()))
        with cached_together("page"):
            one()
            assert who() == "a"
            with serving("b"):
                assert who() == "b"
            assert who() == "a"


def test_another_cache_is_asked_for_itself(settings):
    @cached(tags=[])
    def where() -> str:
        return get_store().alias

    learn("page", lambda: (one(), where()))
    with cached_together("page"):
        one()
        settings.CACHE_INVALIDATION = {"CACHE": "locmem"}
        assert where() == "locmem"


def test_other_caches_are_asked_as_ever(settings):
    settings.CACHE_INVALIDATION = {"CACHE": "locmem"}
    for _ in range(4):
        with cached_together("page"):
            ask()
    assert fetched() == (0, 0)


# How it is written


def test_a_block_without_a_name_is_known_by_its_place(redis_client):
    ask()

    def run() -> int:
        with lookups(redis_client) as number, cached_together():
            ask()
        return number[0]

    def elsewhere() -> int:
        with lookups(redis_client) as number, cached_together():
            ask()
        return number[0]

    assert [run() for _ in range(3)] == [4, 4, 1]
    assert elsewhere() == 4


def test_a_decorated_function_keeps_what_it_is_called_and_returns():
    @cached_together()
    def bare(number: int) -> int:
        """Say so."""
        return number

    @cached_together("named")
    def named(number: int) -> int:
        return number

    assert (bare(1), named(2), bare.__name__, bare.__doc__) == (1, 2, "bare", "Say so.")


def test_what_yields_and_classes_are_refused_with_the_cure():
    def numbers():
        yield 1

    async def anumbers():
        yield 1

    for wrong in (numbers, anumbers):
        with pytest.raises(TypeError, match="Write the block inside of it"):
            cached_together(wrong)
    with pytest.raises(TypeError, match="what as_view"):
        cached_together(dict)
    with pytest.raises(TypeError, match="takes a name, not 3"):
        cached_together(3)  # type: ignore[call-overload]


def test_one_block_can_be_entered_again_inside_of_itself(redis_client):
    learn("page", ask)
    block = cached_together("page")
    with block:
        one()
        with block, lookups(redis_client) as number:
            ask()
        with lookups(redis_client) as outer:
            two()
    assert (number, outer) == ([1], [0])
