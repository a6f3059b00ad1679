"""A response from the cache is of the class that the view has returned, for middlewares to see."""

import copy
import pickle
from dataclasses import replace
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.test import Client, override_settings
from django.urls import path

from cache_invalidation.surfaces.pages.stored import Page, Unread
from cache_invalidation.views import cache_page
from tests.pages.visitors import get, status

pytestmark = pytest.mark.django_db(transaction=True)


class Embeddable(HttpResponse):
    """May be in a frame."""

    xframe_options_exempt = True

    def shown(self) -> str:
        """Return what a middleware asks for."""
        return "by a method"


class EmbeddableLate(TemplateResponse):
    """May be in a frame, and is rendered late."""

    xframe_options_exempt = True


class Listing(TemplateResponse):
    """Has something that cannot be kept."""

    frames = ("all",)


class Odd(HttpResponse):
    """Keeps its content elsewhere."""

    xframe_options_exempt = True

    @property
    def content(self) -> bytes:
        """Return it."""
        return b"odd"

    @content.setter
    def content(self, value: Any) -> None:
        pass


def _local(request: HttpRequest) -> HttpResponse:
    class Local(HttpResponse):
        xframe_options_exempt = True

    return Local("local")


def _tells(get_response: Any) -> Any:
    def middleware(request: HttpRequest) -> Any:
        response = get_response(request)
        response.headers["X-Kind"] = type(response).__name__
        if response.status_code == 301:
            response.headers["X-Url"] = response.url
        if isinstance(response, Embeddable):
            response.headers["X-Shown"] = response.shown()
        return response

    return middleware


def _late(kind: type[TemplateResponse]) -> Any:
    return lambda request: kind(request, "shop/products.html", {"products": []})


VIEWS: dict[str, Any] = {
    "embeddable": lambda request: Embeddable("x"),
    "late": _late(EmbeddableLate),
    "odd": lambda request: Odd("x"),
    "local": _local,
    "json": lambda request: JsonResponse({}),
    "moved": lambda request: HttpResponsePermanentRedirect("/elsewhere/"),
}
_cached = cache_page(60, statuses=(200, 301))
urlpatterns = [
    *[path(f"{name}/", _cached(view)) for name, view in VIEWS.items()],
    path("asked/", cache_page(60)(VIEWS["embeddable"])),
    path("listing/", _cached(_late(Listing))),
]


_PAGE = Page(status=200, reason=None, charset=None, etag="", headers=[], length=1)


@pytest.fixture(autouse=True)
def served(site: None, settings: Any) -> Any:
    first, *others = settings.MIDDLEWARE
    middleware = [first, f"{__name__}._tells", *others]
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=middleware):
        yield


def _seen(response: Any) -> dict[str, str]:
    names = "X-Kind", "X-Url", "X-Shown", "X-Frame-Options"
    return {name: response.headers[name] for name in names if name in response.headers}


@pytest.mark.parametrize("name", VIEWS)
def test_middlewares_see_the_same_on_a_hit(name: str) -> None:
    first, second = get(f"/{name}/"), get(f"/{name}/")
    assert status(second) == "hit"
    seen = [_seen(first), _seen(second)]
    if name in ("odd", "local", "late"):  # These cannot be made again.
        assert [each.pop("X-Kind") for each in seen][1] == "HttpResponse"
    assert seen[0] == seen[1]
    assert ("X-Frame-Options" in seen[0]) == (name in ("json", "moved"))


def test_middlewares_see_the_same_if_the_client_has_it() -> None:
    first = get("/asked/")
    second = get("/asked/", If_None_Match=first.headers["ETag"])
    assert (second.status_code, status(second)) == (304, "hit")


def test_what_a_class_says_that_cannot_be_kept_is_not_stored() -> None:
    for _ in range(2):
        assert status(get("/listing/")) == "fwd=bypass; detail=response"


def test_a_redirect_is_followed() -> None:
    for _ in range(2):
        found = Client().get("/moved/", follow=True)
        assert found.redirect_chain == [("/elsewhere/", 301)]


def _copies(get_response: Any) -> Any:
    def middleware(request: HttpRequest) -> Any:
        response = get_response(request)
        for other in (copy.copy(response), pickle.loads(pickle.dumps(response))):
            assert type(other).__name__ == type(response).__name__
            assert isinstance(other, Embeddable)
            assert other.content == b"x"
        return response

    return middleware


def test_a_copy_is_of_that_class_as_well(settings: Any) -> None:
    first, _, *others = settings.MIDDLEWARE
    tag = get("/asked/").headers["ETag"]
    with override_settings(MIDDLEWARE=[first, f"{__name__}._copies", *others]):
        for headers in ({}, {"If_None_Match": tag}):
            assert status(get("/asked/", **headers)) == "hit"


class Alone(HttpResponse):
    """Has no subclasses."""

    def __init_subclass__(cls) -> None:
        """Refuse it."""
        raise TypeError("there are no subclasses of it")


def test_a_class_without_subclasses_is_one_on_a_hit_that_is_read() -> None:
    page = replace(_PAGE, kind=f"{__name__}:Alone")
    assert type(replace(page, body=b"x").response()) is Alone
    assert type(page.response(lambda: b"x")) is Unread


@pytest.mark.parametrize("name", ["gone:Gone", f"{__name__}:Gone", "builtins:str", "os:sep"])
def test_a_class_that_is_gone_since_is_no_reason_to_fail(name: str) -> None:
    page = replace(_PAGE, kind=name)
    assert type(replace(page, body=b"x").response()) is HttpResponse
    assert type(page.response(lambda: b"x")) is Unread
