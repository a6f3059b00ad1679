"""Pages, responses and blocks in the memory of the process."""

from typing import Any

import pytest
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.template import TemplateSyntaxError as DjangoSyntaxError
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from jinja2 import Environment, TemplateSyntaxError
from rest_framework.decorators import api_view
from rest_framework.response import Response

from cache_invalidation.middleware import CachePageMiddleware
from cache_invalidation.rest import cached_response
from cache_invalidation.stores import get_store, near
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


TAGS = {
    "cached": "{% cached 300 near=True %}{% seen %}{{ product.name }}{% endcached %}",
    "cache": "{% load cache %}{% cache 300 name product.pk near=True %}"
    "{% seen %}{{ product.name }}{% endcache %}",
}


@pytest.mark.parametrize("tag", TAGS)
def test_so_is_a_block(store, product, tag, monkeypatch):
    site = Site(monkeypatch)
    site.write(menu=TAGS[tag])

    def rendered() -> str:
        return site.render("menu", product=Product.objects.get(pk=product.pk))

    assert (rendered(), rendered()) == ("old", "old")
    with monkeypatch.context() as without:
        without.setattr(store, "hold", None)
        assert rendered() == "old"
    Product.objects.update(name="new")
    assert rendered() == "new"


JINJA = "{% cached 300, near=True %}{{ name_of(pk) }} {{ who }}{% endcached %}"


def jinja() -> Any:
    """Return a function that renders a block of Jinja2."""
    env = Environment(extensions=["cache_invalidation.jinja.CachedExtension"], autoescape=True)
    env.globals["name_of"] = name_in_block
    return env.from_string(JINJA).render


def name_in_block(pk: int) -> str:
    return Product.objects.get(pk=pk).name


def test_so_is_a_block_of_jinja2(store, product, monkeypatch):
    render = jinja()
    assert [render(pk=product.pk, who="a") for _ in range(2)] == ["old a"] * 2
    with monkeypatch.context() as without, CaptureQueriesContext(connection) as queries:
        without.setattr(store, "_servers", None)
        assert render(pk=product.pk, who="a") == "old a"
        assert not queries
    assert [render(pk=product.pk, who=who) for who in "bab"] == ["old b", "old a", "old b"]
    Product.objects.update(name="new")
    assert render(pk=product.pk, who="a") == "new a"


def test_whoever_renders_a_block_of_jinja2_knows_that_values_may_be_near(product):
    render = jinja()
    near._in_use = False
    render(pk=product.pk, who="a")
    assert near.is_in_use()


@pytest.mark.parametrize("text", ["near=1", "near=False", "near=True, 300"])
def test_near_is_true_and_the_last_word_of_a_block_of_jinja2(text):
    env = Environment(extensions=["cache_invalidation.jinja.CachedExtension"])
    with pytest.raises(TemplateSyntaxError, match="near=True has to"):
        env.from_string(f"{{% cached {text} %}}{{% endcached %}}")


@pytest.mark.parametrize("text", ["near", "300, near"])
def test_near_without_a_value_is_no_option_in_jinja2(text):
    env = Environment(extensions=["cache_invalidation.jinja.CachedExtension"])
    with pytest.raises(TemplateSyntaxError, match="write near=True"):
        env.from_string(f"{{% cached {text} %}}{{% endcached %}}")


def test_near_is_true_and_the_last_word_of_a_cache_tag(monkeypatch):
    site = Site(monkeypatch)
    site.write(menu="{% load cache %}{% cache 300 name near=True product.pk %}{% endcache %}")
    with pytest.raises(DjangoSyntaxError, match="near=True has to be the last word"):
        site.render("menu")


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
