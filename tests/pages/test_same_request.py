"""The request that a view gets does what Django's does."""

import copy
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from cache_invalidation.views import cache_page
from tests.pages.visitors import get, status
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True)


def merged(request: HttpRequest) -> Any:
    return dict(request.GET), {**request.GET}, dict(**request.GET), request.GET | {"a": ["b"]}


def by_name(request: HttpRequest) -> Any:
    keys = request.GET.keys()
    found = [request.GET[key] for key in keys], {key: request.GET[key] for key in keys}
    text = "{q}".format_map(request.GET)
    return *found, text, list(request.GET.items()), sorted(keys, key=request.GET.__getitem__)


def matched(request: HttpRequest) -> Any:
    match request.GET:
        case {"q": query}:
            return query


def preferred(request: Any) -> Any:
    types = ["text/html", "application/json"]
    if not hasattr(request, "get_preferred_type"):
        return None  # Before Django 5.2.
    return request.get_preferred_type(types), request.accepts("text/html")


def copied(request: Any) -> Any:
    other = copy.copy(request)
    other.GET = other.GET.copy()
    other.GET["q"] = "another"
    return other.GET["q"], request.GET["q"], type(other) is type(request).__base__


def environ(request: HttpRequest) -> Any:
    return hasattr(request, "environ"), hasattr(request, "tenant"), hasattr(request, "user")


VIEWS = (merged, by_name, matched, preferred, copied, environ)


def _shows(view: Any) -> Any:
    def shown(request: HttpRequest) -> HttpResponse:
        return HttpResponse(repr(view(request)))

    return shown


urlpatterns = [
    *[path(f"{view.__name__}/", cache_page(60)(_shows(view))) for view in VIEWS],
    *[path(f"plain/{view.__name__}/", _shows(view)) for view in VIEWS],
]


@pytest.fixture(autouse=True)
def served(site: None) -> Any:
    with override_settings(ROOT_URLCONF=__name__):
        yield


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize("view", [view for view in VIEWS if view is not copied])
def test_a_view_sees_what_it_sees_without_the_cache(view: Any, client: Any) -> None:
    ask: Any = client().get if client is Client else async_to_sync(client().get)
    for query in ("q=1&q=2", "q=3", "q=1&q=2"):
        address, headers = f"{view.__name__}/?{query}", {"Accept": "application/json, */*;q=0.1"}
        found = ask(f"/{address}", headers=headers)
        assert found.content == ask(f"/plain/{address}", headers=headers).content
    assert status(found) == "hit"


def test_a_copy_of_the_request_goes_its_own_way() -> None:
    for _ in range(2):
        found = get("/copied/?q=1")
        assert found.content == b"('another', '1', True)"
        assert status(found) == "fwd=bypass; detail=request"


@pytest.mark.parametrize("address", ["/products/", "/late/"])
def test_a_page_can_be_pickled_by_the_cache_of_somebody_else(settings: Any, address: str) -> None:
    settings.ROOT_URLCONF = "tests.shop.urls"
    first, *others = settings.MIDDLEWARE
    settings.CACHE_MIDDLEWARE_ALIAS = "locmem"
    settings.MIDDLEWARE = [first, "django.middleware.cache.UpdateCacheMiddleware", *others]
    Product.objects.create(name="boot")
    for query in "112":
        assert get(f"{address}?q={query}").status_code == 200
