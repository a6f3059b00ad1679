"""Cached functions that call each other: the outer depends on all that the inner depends on."""

from collections.abc import Iterator

import pytest

from cache_invalidation import cached, invalidate
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import Delivery
from tests.delivered import commands


@pytest.fixture
def computed() -> list[str]:
    """The names of the functions that were computed, in order."""
    return []


@pytest.fixture
def fenced() -> Iterator[str]:
    """A tag that another process is about to invalidate."""
    get_store().fence(["fenced"], [], "token")
    yield "fenced"
    get_store().deliver(Delivery(token="token", tags=["fenced"]))


def test_the_outer_depends_on_the_tags_of_the_inner_even_if_the_inner_was_a_hit(computed):
    @cached(tags=["category:{category_id}"])
    def inner(category_id):
        computed.append("inner")
        return len(computed)

    @cached(tags=["front"])
    def outer(category_id):
        computed.append("outer")
        return inner(category_id)

    inner(3)
    outer(3)
    assert computed == ["inner", "outer"]
    invalidate(tags=["category:3"])
    outer(3)
    assert computed == ["inner", "outer", "outer", "inner"]
    outer(3)
    invalidate(tags=["category:4"])
    outer(3)
    assert len(computed) == 4


def test_the_inner_does_not_depend_on_the_tags_of_the_outer(computed):
    @cached(tags=["inner"])
    def inner():
        computed.append("inner")

    @cached(tags=["outer"])
    def outer():
        computed.append("outer")
        inner()

    outer()
    invalidate(tags=["outer"])
    outer()
    assert computed == ["outer", "inner", "outer"]


def test_tags_are_handed_up_through_any_number_of_levels(computed):
    @cached(tags=["level:{level}"])
    def nested(level):
        computed.append(level)
        return nested(level - 1) if level else None

    nested(5)
    invalidate(tags=["level:0"])
    nested(5)
    assert computed == [5, 4, 3, 2, 1, 0] * 2
    invalidate(tags=["level:3"])
    nested(5)
    assert computed[12:] == [5, 4, 3]


def test_a_hit_that_depends_on_inner_tags_is_one_round_trip_and_at_most_two_at_first(redis_client):
    @cached(tags=["inner:{number}"])
    def inner(number):
        return number

    @cached(tags=["front"])
    def outer():
        return sum(inner(number) for number in range(10))

    assert outer() == 45
    for most in (2, 1, 1):
        with commands(redis_client) as sent:
            assert outer() == 45
        assert set(sent) == {"mget"}
        assert sent["mget"] <= most


def test_tags_that_depend_on_data_may_change_from_one_computation_to_the_next(redis_client):
    @cached(tags=["inner:{number}"])
    def inner(number):
        return number

    numbers = [1, 2]

    @cached(tags=["front"])
    def outer():
        return [inner(number) for number in numbers]

    assert outer() == outer() == [1, 2]
    numbers[:] = [2, 3]
    invalidate(tags=["inner:1"])
    assert outer() == outer() == [2, 3]
    numbers[:] = [9]
    invalidate(tags=["inner:1"])
    assert outer() == [2, 3]
    invalidate(tags=["inner:3"])
    assert outer() == outer() == [9]
    with commands(redis_client) as sent:
        outer()
    assert sent == {"mget": 1}


def test_an_inner_value_that_must_not_be_stored_keeps_the_outer_from_being_stored(computed, fenced):
    @cached(tags=[fenced])
    def inner():
        computed.append("inner")

    @cached(tags=["other"])
    def good():
        computed.append("good")

    @cached(tags=["outer"])
    def outer():
        computed.append("outer")
        good()
        inner()

    outer()
    outer()
    assert computed == ["outer", "good", "inner", "outer", "inner"]


def test_a_tag_that_is_invalidated_between_two_inner_reads_keeps_the_outer_from_being_stored(
    computed,
):
    @cached(tags=["shared"])
    def first(): ...

    @cached(tags=["shared"])
    def second(): ...

    @cached(tags=["outer"])
    def outer():
        computed.append("outer")
        first()
        if len(computed) == 1:
            invalidate(tags=["shared"])
        second()

    outer()
    outer()
    outer()
    assert computed == ["outer", "outer"]


def test_a_tag_that_is_invalidated_while_the_value_is_computed_keeps_it_from_being_stored(computed):
    @cached(tags=["a"])
    def page():
        computed.append("page")
        if len(computed) == 1:
            invalidate(tags=["a"])
        return len(computed)

    assert (page(), page(), page()) == (1, 2, 2)


def test_an_entry_that_is_invalidated_while_it_is_computed_is_not_stored(computed):
    @cached(tags=["a"])
    def page():
        computed.append("page")
        if len(computed) == 1:
            page.invalidate()
        return len(computed)

    assert (page(), page(), page()) == (1, 2, 2)


def test_an_outer_that_catches_what_the_inner_raises_depends_on_the_inner_all_the_same(computed):
    products: dict[int, str] = {}

    @cached(tags=["product:{pk}"])
    def name(pk):
        return products[pk]

    @cached(tags=["front"])
    def front():
        computed.append("front")
        try:
            return name(1)
        except KeyError:
            return "nothing yet"

    assert front() == "nothing yet"
    products[1] = "a product"
    invalidate(tags=["product:1"])
    assert front() == "a product"


def test_refreshing_the_inner_inside_of_the_outer_hands_its_tags_up(computed):
    @cached(tags=["inner"])
    def inner():
        computed.append("inner")

    @cached(tags=["outer"])
    def outer():
        computed.append("outer")
        inner.refresh()

    outer()
    invalidate(tags=["inner"])
    outer()
    assert computed == ["outer", "inner", "outer", "inner"]


def test_calling_the_inner_uncached_hands_nothing_up(computed):
    @cached(tags=["inner"])
    def inner():
        computed.append("inner")

    @cached(tags=["outer"])
    def outer():
        inner.uncached()

    outer()
    invalidate(tags=["inner"])
    outer()
    assert computed == ["inner"]


def test_two_functions_one_after_the_other_do_not_depend_on_each_other(computed):
    @cached(tags=["a"])
    def one():
        computed.append("one")

    @cached(tags=["b"])
    def two():
        computed.append("two")

    one()
    two()
    invalidate(tags=["a"])
    one()
    two()
    assert computed == ["one", "two", "one"]
