"""What a view is given, and what it is wrapped in: classes and functions by their names."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial, wraps
from pathlib import Path
from typing import Any

import pytest
from django.contrib import sitemaps
from django.contrib.sitemaps.views import index, sitemap
from django.core.paginator import Paginator
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path
from django.views.generic import ListView

from cache_invalidation.surfaces.inputs.portraits import Opaque
from cache_invalidation.surfaces.pages.identity import told
from cache_invalidation.views import cache_page
from tests.pages.conftest import TEMPLATES
from tests.pages.visitors import get, status
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True)

View = Callable[..., HttpResponse]


class ProductSitemap(sitemaps.Sitemap):  # type: ignore[type-arg]
    """Named as a class, as most are."""

    def items(self) -> Any:
        return Product.objects.order_by("pk")

    def location(self, item: Product) -> str:
        return f"/products/{item.slug}/"


class PageSitemap(sitemaps.Sitemap):  # type: ignore[type-arg]
    """Named as an instance that was told what to show."""

    def __init__(self, *pages: str) -> None:
        self.pages = pages

    def items(self) -> Any:
        return list(self.pages)

    def location(self, item: str) -> str:
        return item

    def lastmod(self, item: str) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)


class GenericSitemap(sitemaps.GenericSitemap):  # type: ignore[type-arg]
    """Named as an instance with a queryset."""

    def location(self, item: Product) -> str:
        return f"/{item.slug}/"


def loud(view: View) -> View:
    @wraps(view)
    def inner(request: HttpRequest) -> HttpResponse:
        return HttpResponse(view(request).content.upper())

    return inner


def quiet(view: View) -> View:
    @wraps(view)
    def inner(request: HttpRequest) -> HttpResponse:
        return HttpResponse(view(request).content.lower())

    return inner


def says(request: HttpRequest, what: Any = None) -> HttpResponse:
    return HttpResponse("Hello")


@cache_page(60)
@loud
def shouts(request: HttpRequest) -> HttpResponse:
    return HttpResponse("Hello")


SAID = {"loud": cache_page(60)(loud(says)), "quiet": cache_page(60)(quiet(says))}


def one_of(request: HttpRequest) -> HttpResponse:
    return SAID[request.GET["how"]](request)


def _form_of(name: str) -> type[Form]:
    return type("Made", (Form,), {"title": name})


def _titled(kind: Any, request: HttpRequest) -> HttpResponse:
    return HttpResponse(kind.title)


def made_anew(request: HttpRequest) -> HttpResponse:
    return cache_page(60)(partial(_titled, _form_of(request.GET["name"])))(request)


@cache_page(60)
def given(request: HttpRequest, what: Any) -> HttpResponse:
    return HttpResponse(str(what))


MAPS = {
    "products": ProductSitemap,
    "pages": PageSitemap("/about/", "/contact/"),
    "generic": GenericSitemap({"queryset": Product.objects.order_by("pk")}),
}

urlpatterns = [
    path("sitemap.xml", cache_page(60)(sitemap), {"sitemaps": MAPS}),
    path("index.xml", cache_page(60)(index), {"sitemaps": MAPS, "sitemap_url_name": "map"}),
    path("sitemap-<section>.xml", cache_page(60)(sitemap), {"sitemaps": MAPS}, name="map"),
    path("list/", cache_page(60)(ListView.as_view(model=Product, paginator_class=Paginator))),
    path("shouts/", shouts),
    path("one/", one_of),
    path("made/", made_anew),
    path("function/", given, {"what": says}),
    path("in-list/", given, {"what": [ProductSitemap, {"by": [says]}]}),
]


@pytest.fixture(autouse=True)
def here() -> Iterator[None]:
    places = [Path(sitemaps.__file__).parent / "templates"]
    with override_settings(ROOT_URLCONF=__name__, TEMPLATES=[{**TEMPLATES[0], "DIRS": places}]):
        Product.objects.create(name="boot", slug="boot")
        yield


@pytest.mark.parametrize("address", ["/sitemap.xml", "/sitemap-products.xml", "/index.xml"])
def test_a_sitemap_is_stored_and_dropped_by_what_it_shows(address: str) -> None:
    for _ in range(3):  # Django keeps on an instance when its pages were changed last.
        first = get(address)
    assert status(first) == "hit"
    Product.objects.create(name="clog", slug="clog")
    for _ in range(3):
        found = get(address)
        if address != "/index.xml":  # Which only names the other maps.
            assert found.content.count(b"clog") == found.content.count(b"boot") > 0
    assert status(found) == "hit"


def test_sections_and_hosts_have_maps_of_their_own() -> None:
    get("/sitemap-products.xml")
    pages = get("/sitemap-pages.xml")
    assert b"/about/" in pages.content
    assert b"boot" not in pages.content
    other = get("/sitemap-products.xml", Host="other.example")
    assert b"http://other.example/products/boot/" in other.content


def test_what_an_instance_shows_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    get("/sitemap-pages.xml")
    monkeypatch.setattr(MAPS["pages"], "pages", ("/imprint/",))
    assert b"/imprint/" in get("/sitemap-pages.xml").content


@pytest.mark.parametrize("address", ["/list/", "/shouts/", "/function/", "/in-list/"])
def test_classes_and_functions_that_a_view_was_given_are_known_by_their_names(
    address: str,
) -> None:
    with override_settings(TEMPLATES=[_LISTING]):
        get(address)
        assert status(get(address)) == "hit"


_LISTING = {
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "OPTIONS": {
        "loaders": [("django.template.loaders.locmem.Loader", {"testapp/product_list.html": "x"})]
    },
}


def test_functions_of_one_name_are_told_apart_by_what_they_do() -> None:
    for how, expected in (("loud", b"HELLO"), ("quiet", b"hello")) * 2:
        assert get(f"/one/?how={how}").content == expected
    assert status(get("/one/?how=loud")) == "hit"


def test_a_class_that_was_made_for_one_request_is_no_later_one() -> None:
    # Most of them get the address of the one before.
    for number in range(20):
        assert get(f"/made/?name={number}").content == str(number).encode()


def _local() -> type:
    class Local:
        """One of many of this name."""

    return Local


def _kept(what: object = _local) -> object:
    return what


_kept.__defaults__ = (object(),)


def test_classes_of_one_name_are_told_apart() -> None:
    one, other = _local(), _local()
    assert told(one, None) == told(one, None) != told(other, None)
    assert told([one], None) != told([other], None)
    assert f"{__name__}.ProductSitemap" in told(ProductSitemap, None)


@pytest.mark.parametrize(
    "value",
    [[].append, object(), partial(says, what=object()), Product.objects, _kept],
    ids=["method of C", "object", "partial", "manager", "default"],
)
def test_what_carries_what_cannot_be_seen_is_opaque(value: Any) -> None:
    with pytest.raises(Opaque):
        told({"what": value}, None)
