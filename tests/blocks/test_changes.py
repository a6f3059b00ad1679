"""What a block changes that was there before, a hit would not change."""

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.paginator import Paginator
from django.test import RequestFactory
from django.utils.functional import cached_property

from cache_invalidation.surfaces.inputs.changes import Changes
from cache_invalidation.surfaces.inputs.inputs import Inputs
from cache_invalidation.surfaces.pages.requests import recording
from tests.blocks.test_state import is_kept, same_each_time
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])


class Numbers:
    """Numbers that are given once each."""

    def __init__(self) -> None:
        self.number = 0

    def next(self) -> int:
        """Return the next number."""
        self.number += 1
        return self.number

    @cached_property
    def all(self) -> list[int]:
        """All numbers."""
        return [1, 2]


class Remembering:
    """A sum that is found out once."""

    def __init__(self) -> None:
        self._sum: int | None = None

    def sum(self) -> int:
        """Return it."""
        if self._sum is None:
            self._sum = 3
            self._found = True
        return self._sum


class Unbound:
    """What stands for something that is not there."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("it is not there")


class Raising(dict[str, int]):
    """Cannot be gone through."""

    def keys(self) -> Any:
        """Say no."""
        raise RuntimeError("not now")

    __iter__ = keys


def shown(site, **make):
    """Return what a page shows each time that it is rendered with new values."""
    return [site.render("page", **{k: m() for k, m in make.items()}) for _ in range(3)]


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("x", list),
        ("x.a", lambda: {"a": []}),
        ("x.0.a.0", lambda: ({"a": [[]]},)),
    ],
)
def test_a_list_that_something_is_added_to(site, name, make):
    adding = f"{{% add_to {name} 'a' %}}"
    site.write(page=f"{{% cached %}}{adding}{{% endcached %}}{{{{ {name}|join:'-' }}}}")
    assert shown(site, x=make) == ["a"] * 3
    assert site.reasons == {"context"}


def test_a_list_on_the_request_that_something_is_added_to(site):
    adding = "{% cached %}{% add_to request.assets 'a' %}{% endcached %}"
    site.write(page=adding + "{{ request.assets|join:'-' }}")
    for _ in range(3):
        request = RequestFactory().get("/")
        vars(request).update(user=AnonymousUser(), assets=[])
        assert site.render("page", request) == "a"
    assert site.reasons == {"request"}


def test_an_object_that_is_another_one_afterwards(site):
    site.write(page="{% for i in '123' %}{% cached %}{{ x.next }}{% endcached %}{% endfor %}")
    assert shown(site, x=Numbers) == ["123"] * 3


def test_a_row_that_is_another_one_afterwards(site):
    set_name = "{% cached %}{% set_attribute x.0 'name' 'b' %}{% endcached %}{{ x.0.name }}"
    site.write(page=set_name)
    assert shown(site, x=lambda: [Category(name="a")]) == ["b"] * 3
    site.write(page=set_name.replace("name", "title"))
    assert shown(site, x=lambda: [Category(name="a")]) == ["b"] * 3


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("{% cached %}{% on_context 'autoescape' no %}{% endcached %}{{ x }}", "False<"),
        (
            "{% cached %}{% on_context 'color' x %}{% endcached %}{% on_context 'color' %}",
            "&lt;" * 2,
        ),
        (
            "{% load i18n %}{% language 'en' %}{% cached %}{% speak 'de' %}{% endcached %}"
            "{% translate 'Yes' %}{% endlanguage %}",
            "Ja",
        ),
    ],
    ids=["escaping", "attribute", "language"],
)
def test_how_what_comes_after_it_is_rendered(site, page, text):
    site.write(page=page)
    assert shown(site, x=lambda: "<", no=lambda: False) == [text] * 3
    assert site.reasons == {"context"}


def test_what_was_put_on_the_context_is_an_input(site):
    site.write(page="{% on_context 'color' x %}{% cached %}{% on_context 'color' %}{% endcached %}")
    assert [site.render("page", x=x) for x in "aab"] == ["aa", "aa", "bb"]


def test_a_tag_that_leaves_more_or_less_than_it_was_given(site):
    tags = "{% cached %}{% put 'b' 2 %}{% push a=x %}{{ a }}{% endcached %}{{ a }}{{ b }}"
    page = "{% with q=1 %}" + tags + "{% endwith %}{{ a }}{{ b }}{{ q }}"
    assert same_each_time(site, page, x="x") == "xx221"
    page = "{% with a=1 %}{% push a=x %}{% cached %}{% pop %}{% endcached %}{{ a }}{% endwith %}"
    assert same_each_time(site, page, x="x") == "1"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Product.objects.defer("name").get(pk=1_000_003),
        lambda: {"name": "boot", "category": Category.objects.prefetch_related("products")[0]},
        Numbers,
    ],
    ids=["row", "dict", "object"],
)
def test_what_is_found_out_by_being_looked_at_is_no_change(site, make):
    # Of a number that large there may be several.
    Product.objects.create(
        pk=1_000_003, name="boot", category=Category.objects.create(name="shoes")
    )
    site.write(
        page="{% cached %}{% seen %}{{ x.name }}{{ x.category.name }}{{ x.all }}{% endcached %}"
    )
    shown(site, x=make)
    assert is_kept(site, x=make())


def test_a_page_of_a_paginator_is_kept(site):
    Product.objects.bulk_create([Product(name=name) for name in "abc"])

    def make() -> Any:
        return Paginator(Product.objects.order_by("pk"), 2).get_page(1)

    loop = "{% for each in x %}{{ each.name }}{% endfor %}{{ x.paginator.count }}"
    site.write(page="{% cached %}{% seen %}" + loop + "{% endcached %}")
    assert shown(site, x=make) == ["ab3"] * 3
    assert is_kept(site, x=make())


def test_what_a_method_has_found_out_is_no_change(site):
    site.write(page="{% cached %}{{ x.sum }}{% seen %}{% endcached %}")
    assert [site.rendered("page", x=Remembering()) for _ in range(2)] == [True, False]
    assert site.reasons == set()


@pytest.mark.parametrize(
    "make", [Unbound, Raising, lambda: [Raising(a=1)], lambda: {"a": Unbound()}]
)
def test_what_raises_when_somebody_looks_into_it_raises_nothing_by_itself(site, make):
    changes, value = Changes(), make()
    changes.watch(value)
    assert changes.any()
    request = RequestFactory().get("/")
    vars(request).update(user=AnonymousUser(), odd=value)
    inputs = Inputs()
    with recording(request, inputs):
        assert request.odd is value  # type: ignore[attr-defined]
    assert set(inputs.refusals) == {"opaque"}
    site.write(page="{% cached 60 side x %}a{% endcached %}")
    for _ in range(2):
        assert site.render("page", x=value) == "a"
