"""Where two values differ, and which are taken for equal."""

import pickle
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from http.cookies import SimpleCookie
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from django.db.models import prefetch_related_objects
from django.utils.safestring import SafeString, mark_safe
from model_bakery import baker

from cache_invalidation.reads.differences import first_difference
from tests.testapp.models import Category, Product

NAN = float("nan")


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class Plain:
    name: str
    others: list[Any] = field(default_factory=list)


class Slotted:
    __slots__ = ("name", "value")

    def __init__(self, name: str, value: Any) -> None:
        self.name = name
        self.value = value


class Cell:
    """An object that is equal to itself only."""

    def __init__(self, content: Any) -> None:
        self.content = content


def kind(value: object) -> str:
    """Name a case the same in every process; some of the values show their address."""
    return value[:40] if isinstance(value, str) else type(value).__name__


def circle(end: int) -> Cell:
    first = Cell(None)
    first.content = [Cell(first), end]
    return first


def anew(value: Any) -> Any:
    """Return a copy that shares nothing with `value`."""
    return pickle.loads(pickle.dumps(value))


EQUAL: list[tuple[Any, Any]] = [
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ([NAN], [float("nan")]),
    ({"x": Decimal("NaN")}, {"x": Decimal("NaN")}),
    (Decimal("1.50"), Decimal("1.5")),
    (0.1 + 0.2, 0.3),
    ({1, 2, 3}, {3, 2, 1}),
    (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
    (Cell([1]), Cell([1])),
    (circle(1), circle(1)),
]


@pytest.mark.parametrize(("one", "other"), EQUAL, ids=kind)
def test_what_nobody_could_tell_apart_is_equal(one, other):
    assert first_difference(one, other) is None


VALUES: list[Any] = [
    *(None, True, 1, 1.5, "a", b"a", 1j, date(2026, 1, 1), timedelta(1), UUID(int=1)),
    *([1, [2]], (1, 2), {"a": {"b": 1}}, {1}, frozenset({1}), deque([1, 2], 3)),
    *(OrderedDict(a=1), defaultdict(list, a=[1]), Counter("aab"), Point(1, 2)),
    *(Plain("a", [Plain("b")]), Slotted("a", {1: 2}), mark_safe("<b>"), range(3)),
]


@pytest.mark.parametrize("value", VALUES, ids=kind)
def test_a_copy_is_equal(value):
    assert first_difference(value, anew(value)) is None


DIFFERENT: list[tuple[Any, Any, str]] = [
    (1, 2, "the value itself: another value"),
    (None, 0, "the value itself: int instead of None"),
    (1, True, "the value itself: bool instead of int"),
    (1, 1.0, "the value itself: float instead of int"),
    ("a", SafeString("a"), "the value itself: SafeString instead of str"),
    ([1], (1,), "the value itself: tuple instead of list"),
    (1.0, 1.0001, "the value itself: another value"),
    (1.0, NAN, "the value itself: another value"),
    (["a", "b", "c", {"name": 1}], ["a", "b", "c", {"name": 2}], "[3]['name']: another value"),
    ([1, 2], [1, 2, 3], "the value itself: 3 items instead of 2"),
    ({"a": [1, 2]}, {"a": [2, 1]}, "['a']: the same items in another order"),
    ([{"a": 1}, {"a": 2}], [{"a": 2}, {"a": 1}], "the value itself: the same items in another"),
    ({"a": 1}, {}, "['a']: missing"),
    ({}, {"a": 1}, "['a']: not in the cached value"),
    ({"k" * 99: 1}, {"k" * 99: 2}, f"['{'k' * 39}…]: another value"),
    ({date(2026, 1, 1): 1}, {date(2026, 1, 1): 2}, "[<date>]: another value"),
    ({1, 2}, {1, 3}, "the value itself: other members"),
    (Plain("a", [Plain("b")]), Plain("a", [Plain("c")]), ".others[0].name: another value"),
    (Slotted("a", [1]), Slotted("a", [2]), ".value[0]: another value"),
    (Cell({"a": 1}), Cell({"a": 2}), ".content['a']: another value"),
    (circle(1), circle(2), ".content[1]: another value"),
    (Point(1, 2), Point(1, 3), "[1]: another value"),
    (SimpleCookie("a=1"), SimpleCookie("a=2"), "['a']._value: another value"),
    (deque([1, 2]), deque([1, 3]), "[1]: another value"),
    (range(3), range(4), "[1]: another value"),
    (Counter("aab"), Counter("abb"), "['a']: another value"),
]


@pytest.mark.parametrize(("cached", "fresh", "text"), DIFFERENT, ids=kind)
def test_the_first_difference_is_told_by_the_way_to_it(cached, fresh, text):
    assert str(first_difference(cached, fresh)).startswith(text)


@pytest.mark.django_db
class TestRows:
    @pytest.fixture
    def product(self) -> Product:
        return baker.make(Product, name="a", category=baker.make(Category, name="c"))

    def changed(self, product: Product, change: Callable[[Product], Any]) -> str:
        other = anew(product)
        change(other)
        return str(first_difference(product, other))

    def test_a_copy_is_equal(self, product):
        assert self.changed(product, lambda other: None) == "None"

    def test_another_value_of_a_field_is_found_though_the_key_is_the_same(self, product):
        found = self.changed(product, lambda other: setattr(other, "name", "b"))
        assert found == ".name: another value"

    def test_it_is_found_in_a_set_too(self, product):
        other = anew(product)
        other.name = "b"
        assert str(first_difference({product}, {other})) == "{…}.name: another value"

    def test_a_related_row_that_was_loaded_counts(self, product):
        assert product.category.name == "c"
        found = self.changed(product, lambda other: setattr(other.category, "name", "d"))
        assert found == ".category.name: another value"

    def test_related_rows_that_were_prefetched_count(self, product):
        category = product.category
        prefetch_related_objects([category], "products")
        other = anew(category)
        other.products.all()[0].name = "b"
        found = first_difference(category, other)
        assert str(found) == "._prefetched_objects_cache['products'][0].name: another value"

    def test_querysets_are_equal_if_their_rows_are_whatever_they_have_asked(self, product):
        one = anew(Product.objects.filter(pk=product.pk))
        other = anew(Product.objects.filter(name="a"))
        assert first_difference(one, other) is None
        other[0].stock = 3
        assert str(first_difference(one, other)) == "[0].stock: another value"


def test_members_of_a_named_tuple_made_on_the_spot_are_found():
    made = namedtuple("made", "x")
    assert str(first_difference(made(1), made(2))) == "[0]: another value"
