"""Which view a page is of: whatever it was given tells it from others, and code is no secret."""

import gc
from typing import Any

import pytest
from django import forms
from django.contrib.sitemaps import Sitemap
from django.contrib.sitemaps.views import sitemap
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path
from django.views import View
from django.views.decorators.gzip import gzip_page
from django.views.generic import FormView, TemplateView

from cache_invalidation.surfaces.inputs.portraits import Opaque
from cache_invalidation.surfaces.pages.identity import identity, told
from cache_invalidation.views import cache_page
from tests.pages.visitors import get, status
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True)


class Products(Sitemap):  # type: ignore[type-arg]
    """All of them."""

    def items(self) -> Any:
        """Return them."""
        return Product.objects.order_by("pk")

    def location(self, item: Product) -> str:
        """Return where one is."""
        return f"/products/{item.pk}/"


class Search(forms.Form):
    """Looks for something."""

    q = forms.CharField(required=False)


@gzip_page
def _zipped(request: HttpRequest) -> HttpResponse:
    return HttpResponse("many " * 100)


def _made(number: int) -> Any:
    # Another class each time, which may be where the one before was.
    class Made(View):
        def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse(f"{number}")

    return Made.as_view()


_cached = cache_page(60)
_form = FormView.as_view(form_class=Search, template_name="shop/products.html")
_with_form = TemplateView.as_view(
    template_name="shop/products.html", extra_context={"search": Search, "names": [str, Search]}
)
_map = {"template_name": "map.xml"}
urlpatterns = [
    path(
        "sitemap.xml", _cached(sitemap), {"sitemaps": {"p": Products}, "template_name": "map.xml"}
    ),
    path("form/", _cached(_form)),
    path("with_form/", _cached(_with_form)),
    path("zipped/", _cached(_zipped)),
]


@pytest.fixture(autouse=True)
def served(site: None) -> Any:
    loaders = [
        (
            "django.template.loaders.locmem.Loader",
            {"map.xml": "{% for url in urlset %}{{ url.location }} {% endfor %}"}
            | {"shop/products.html": "{{ search }}"},
        )
    ]
    backend = "django.template.backends.django.DjangoTemplates"
    templates = [{"BACKEND": backend, "OPTIONS": {"loaders": loaders}}]
    with override_settings(ROOT_URLCONF=__name__, TEMPLATES=templates):
        yield


@pytest.mark.parametrize("address", ["/sitemap.xml", "/form/", "/with_form/", "/zipped/"])
def test_a_view_may_be_given_classes_and_functions(address: str) -> None:
    Product.objects.create(name="boot")
    found = [get(address) for _ in range(2)]
    assert [status(each) for each in found] == ["fwd=miss; stored", "hit"]
    assert found[0].content == found[1].content


def test_a_class_that_is_gone_is_not_taken_for_the_next() -> None:
    names = set()
    for number in range(5):
        names.add(identity(_made(number), None))
        gc.collect()
    assert len(names) == 5
    view = _made(1)
    assert identity(view, None) == identity(view, None)


class _Holder:
    def __init__(self, **held: Any) -> None:
        vars(self).update(held)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": Search, "b": None}, {"a": Search}),
        ({"a": Search}, {"b": Search}),
        ({"a": Search}, {"a": Products}),
        ([Search, None], [Search]),
        ([Search, [None]], [[Search], None]),
        (_Holder(a=Search, b=1), _Holder(a=Search, b="1")),
        (_Holder(a=lambda: 1), _Holder(a=lambda: 2)),
        ([lambda x: x in {1, 2}], [lambda x: x in {1, 3}]),
    ],
)
def test_what_is_not_the_same_is_not_told_alike(one: Any, other: Any) -> None:
    assert told(one, None) != told(other, None)
    assert told(one, None) == told(one, None)


def test_what_holds_itself_is_told_once() -> None:
    holder = _Holder(a=Search, inner=_Holder(b=Search))
    holder.inner.outer = [holder, holder.inner, holder]  # type: ignore[attr-defined]
    assert told(holder, None) == told(holder, None)


def test_what_is_a_whole_application_is_not_told() -> None:
    parts = [_Holder(a=Search) for _ in range(40)]
    with pytest.raises(Opaque):
        told(parts, None)
    assert told(parts[:20], None)


@pytest.mark.parametrize("value", [object(), iter(()), b"".join, [object()], {"a": [iter(())]}])
def test_what_nobody_can_tell_is_not_told(value: Any) -> None:
    with pytest.raises(Opaque):
        told(value, None)
    with pytest.raises(Opaque):
        identity(lambda request: value, None)
