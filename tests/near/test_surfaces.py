"""Pages, responses and blocks in the memory of the process."""

from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from rest_framework.decorators import api_view
from rest_framework.response import Response

from cache_invalidation.middleware import CachePageMiddleware
from cache_invalidation.rest import cached_response
from cache_invalidation.stores import get_store
from cache_invalidation.surfaces.pages.visits import Visit
from cache_invalidation.views import cache_page
from tests.blocks.rendering import Site
from tests.near.conftest import has_lease, until
from tests.pages.conftest import site as shop
from tests.pages.test_nobodys_page import Site as Shop
from tests.testapp.models import Product

__all__ = ["shop"]

pytestmark = pytest.mark.django_db(transaction=True)


@cache_page(near=True)
def page(request: HttpRequest) -> HttpResponse:
    first = Product.objects.order_by("pk")[0]
    return HttpResponse(f"{first.name} {request.GET.get('page', '')}")


@api_view(["GET"])
@cached_response(near=True)
def response(request: Any) -> Response:
    return Response([product.name for product in Product.objects.all()])


def body(view: Any, path: str) -> bytes:
    """Return what a client gets."""

    def answer(request: HttpRequest) -> Any:
        found = view(request)
        return found if getattr(found, "is_rendered", True) else found.render()

    answered: Any = CachePageMiddleware(answer)(RequestFactory().get(path))
    return bytes(answered.content)


@pytest.mark.parametrize("view", [page, response], ids=["page", "response"])
def test_a_page_is_answered_by_the_process_alone(store, product, view, monkeypatch):
    first = body(view, "/")
    assert b"old" in first
    with monkeypatch.context() as without:
        without.setattr(store, "_servers", None)
        assert body(view, "/") == first
    product.name = "new"
    product.save()
    assert b"new" in body(view, "/")


def test_there_is_one_for_each_value_of_what_it_looks_at(store, product):
    for path in ("/", "/?page=2", "/", "/?page=2&utm_source=x"):
        assert body(page, path) == f"old {2 if 'page' in path else ''}".encode()
    assert len(store.near.memory) >= 2


def test_so_is_a_block(store, product, monkeypatch):
    site = Site(monkeypatch)
    site.write(menu="{% cached 300 near=True %}{% seen %}{{ product.name }}{% endcached %}")

    def rendered() -> str:
        return site.render("menu", product=Product.objects.get(pk=product.pk))

    assert (rendered(), rendered()) == ("old", "old")
    monkeypatch.setattr(store, "hold", None)
    assert rendered() == "old"


@pytest.fixture
def near_pages(shop: None, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pages of the shop are kept near."""
    attempt = Visit.attempt

    def kept_near(self: Visit) -> Any:
        self.read.near = True
        return attempt(self)

    monkeypatch.setattr(Visit, "attempt", kept_near)


def test_nobody_gets_a_page_of_somebody_else(near_pages):
    found: Any = get_store()
    until(lambda: has_lease(found))
    site = Shop(7)
    site.go_on(300)
    assert site.differences == []
    assert site.hits > 30
    assert len(found.near.memory) > 10
