"""What values are, as inputs: alike only where nobody can tell them apart."""

import copy
from collections import OrderedDict, namedtuple
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from django.core.paginator import Paginator
from django.db.models import FileField, Prefetch
from django.db.models.fields.files import FieldFile
from django.http import QueryDict
from django.utils.functional import SimpleLazyObject, lazy
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy, override, pgettext_lazy

from cache_invalidation.surfaces.inputs.portraits import LARGEST, Opaque, portray
from tests.testapp.models import Category, Product, ProductProxy, Review, Tag

pytestmark = pytest.mark.django_db


class Money:
    """A plain class."""

    def __init__(self, amount: Any) -> None:
        self.amount = amount


class Slotted:
    """One that keeps something out of its dictionary."""

    __slots__ = ("amount",)


class Words(dict[str, Any]):
    """One with a dictionary of another kind."""


class Size(Enum):
    """Members are told by their names."""

    SMALL = 1
    LARGE = 2


Point = namedtuple("Point", "x y")

DISTINCT: list[Any] = [
    *(0, 1, True, 1.0, "1", b"1", None, "", Decimal("1"), Decimal("1.0"), 2**70),
    *(mark_safe("<b>"), "<b>", date(2026, 1, 1), datetime(2026, 1, 1)),
    *(datetime(2026, 1, 1, tzinfo=UTC), QueryDict("a=1"), QueryDict("a=1&a=2")),
    *((), [], {}, set(), (1, 2), [1, 2], [2, 1], {1: 2}, {2: 1}, ((1,), 2), (1, (2,))),
    *({"a": 1, "b": 2}, {"b": 2, "a": 1}, range(3), UUID(int=1), Size.SMALL, Size.LARGE),
    *(Money(1), Money(2), Money("1"), Point(1, 2), OrderedDict(a=1)),
    *({"a": [1, 2]}, {"a": [1], "b": 2}, ["a,b"], ["a", "b"], ["a\nb"]),
    *({"a": "b", "c": "d"}, ["a", "b", "c", "d"], {"a": {"b": "c"}}, {"a": "b=c"}, 10**5000),
    *(timedelta(1), date(2026, 1, 2), Decimal("-0"), Decimal(0), [UUID(int=1)], 10**5000 + 1),
]  # fmt: skip


def test_what_differs_differs() -> None:
    found = [portray(value) for value in DISTINCT]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("place", range(len(DISTINCT)))
def test_what_is_equal_is_alike(place: int) -> None:
    assert portray(DISTINCT[place]) == portray(copy.deepcopy(DISTINCT[place]))


def test_sets_have_no_order() -> None:
    assert portray({"a", "b", "c"}) == portray({"c", "b", "a"})


def test_what_holds_itself_has_an_end() -> None:
    one: list[Any] = []
    one.append(one)
    other: list[Any] = [[]]
    assert portray(one) != portray(other)


@pytest.mark.parametrize(
    "value",
    [
        *(print, portray, lambda: 1, iter([]), map(str, ()), object(), Slotted(), Words(a=1)),
        *(Product.objects, open, Money(print), [[Slotted()]], ValueError("x")),
        type("Made", (), {})(),
    ],
    ids=repr(list(range(14))).strip("[]").split(", "),
)  # fmt: skip
def test_what_may_carry_anything_is_opaque(value: Any) -> None:
    with pytest.raises(Opaque):
        portray(value)


def test_what_is_too_large_is_opaque() -> None:
    with pytest.raises(Opaque, match=f"{LARGEST:,}"):
        portray(list(range(LARGEST + 1)))
    with pytest.raises(Opaque, match=f"{LARGEST:,}"):
        portray([[number] for number in range(LARGEST // 2)])


def test_a_lazy_text_is_what_it_says_now_and_in_every_language() -> None:
    text = gettext_lazy("Yes")
    with override("de"):
        german = portray(text)
    assert german != portray(text) == portray(gettext_lazy("Yes"))
    # They differ in German.
    month, short = pgettext_lazy("alt. month", "May"), pgettext_lazy("abbrev. month", "May")
    assert len({portray(value) for value in ("May", month, short)}) == 3


@pytest.mark.parametrize(
    "function",
    [lambda: "x", Money("x").__str__, partial(str, "x")],
    ids=["lambda", "method", "partial"],
)
def test_what_is_made_lazily_by_what_may_carry_anything_is_opaque(function: Any) -> None:
    with pytest.raises(Opaque):
        portray(lazy(function, str)())


def test_what_is_too_deep_is_opaque() -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    with pytest.raises(Opaque):
        portray(deep)


def test_a_file_is_of_a_row() -> None:
    field = FileField(name="file")
    ann, bob = (FieldFile(Category(name=name), field, "file.txt") for name in ("Ann", "Bob"))
    assert portray(ann) != portray(bob)


def test_a_row_is_everything_that_it_carries() -> None:
    category = Category.objects.create(name="shoes")
    product = Product.objects.create(name="boot", category=category)
    found: set[str] = set()
    for made in (
        Product.objects.get(pk=product.pk),
        Product.objects.defer("name").get(pk=product.pk),
        Product.objects.select_related("category").get(pk=product.pk),
        Product.objects.prefetch_related("tags").get(pk=product.pk),
        Product.objects.extra(select={"more": "1"}).get(pk=product.pk),
        Product(pk=product.pk),
        category,
    ):
        found.add(portray(made))
    assert len(found) == 7
    assert portray(Product.objects.get(pk=product.pk)) in found
    changed = Product.objects.get(pk=product.pk)
    changed.name = "clog"
    assert portray(changed) not in found


def test_a_relation_that_is_loaded_is_looked_into() -> None:
    category = Category.objects.create(name="shoes")
    product = Product.objects.create(name="boot", category=category)
    tag = Tag.objects.create(name="warm")
    product.tags.add(tag)

    def portrait() -> str:
        found = Product.objects.select_related("category").prefetch_related("tags")
        return portray(found.get(pk=product.pk))

    first = portrait()
    assert portrait() == first
    Category.objects.update(name="boots")
    second = portrait()
    Tag.objects.update(name="cold")
    assert len({first, second, portrait()}) == 3


def test_a_query_is_what_it_asks_for(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        queries = [
            Product.objects.all(),
            Product.objects.filter(category=1),
            Product.objects.filter(category=2),
            Product.objects.filter(category=1)[:2],
            Product.objects.using("other"),
            Product.objects.none(),
            Product.objects.prefetch_related("tags"),
            Product.objects.prefetch_related(Prefetch("tags", Tag.objects.filter(name="x"))),
            Product.objects.values("name"),
            Product.objects.values_list("name", flat=True),
            Product.objects.values_list("name"),
            Review.objects.all(),
        ]
        found = [portray(query) for query in queries]
        assert len(set(found)) == len(found)
        assert portray(Product.objects.filter(category=1)) == found[1]


def test_rows_that_are_fetched_are_shown() -> None:
    Product.objects.create(name="boot")
    query = Product.objects.all()
    before = portray(query)
    list(query)
    after = portray(query)
    Product.objects.update(name="clog")
    other = Product.objects.all()
    list(other)
    assert len({before, after, portray(other)}) == 3


def test_a_page_of_a_paginator_is_what_is_on_it() -> None:
    Product.objects.bulk_create([Product(name=str(number)) for number in range(3)])
    pages = Paginator(Product.objects.order_by("name"), 2)
    assert portray(pages.get_page(1)) != portray(pages.get_page(2))


def test_a_query_of_a_proxy_is_not_that_of_its_model() -> None:
    assert portray(Product.objects.all()) != portray(ProductProxy.objects.all())


def test_what_is_lazy_is_what_it_stands_for() -> None:
    product = Product.objects.create(name="boot")
    assert portray(SimpleLazyObject(lambda: product)) == portray(product)
