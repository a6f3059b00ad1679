"""System checks of what is decorated with `cache_page`."""

import sys
from types import ModuleType
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.checks import Error, Warning
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_page as cache_page_of_django
from django.views.decorators.cache import never_cache
from django.views.generic import View
from rest_framework.views import APIView

from cache_invalidation.middleware import CachePageMiddleware
from cache_invalidation.rest import CachedResponseMixin, cached_response
from cache_invalidation.views import cache_page
from tests.checks.reporting import only, reported

pytestmark = pytest.mark.django_db(databases="__all__")

OURS = "cache_invalidation.middleware.CachePageMiddleware"
OTHER = "django.middleware.common.CommonMiddleware"


class Refined(CachePageMiddleware):
    """A project may have its own."""


with_pages = override_settings(ROOT_URLCONF="tests.shop.urls")


@with_pages
@override_settings(MIDDLEWARE=[OTHER])
def test_e017_pages_without_the_middleware():
    assert OURS in str(only(reported(), Error, "E017").hint)


def view(request: HttpRequest) -> HttpResponse:
    """A page."""
    return HttpResponse("here")


class ByMethod(View):
    """Cached for one method."""

    get = method_decorator(cache_page(60))(lambda self, request: HttpResponse("here"))


class ByDispatch(View):
    """Cached for all."""

    dispatch = method_decorator(cache_page(60))(View.dispatch)


class Action(APIView):
    """Cached where nobody looks for it."""

    @cached_response(60)
    def popular(self, request: HttpRequest) -> HttpResponse:
        """An action."""
        return HttpResponse("here")


class Inheriting(ByDispatch):
    """Cached by what it inherits."""


class Listed(CachedResponseMixin, APIView):
    """A view of REST framework."""


VIEWS: dict[str, tuple[Any, bool]] = {
    "none": (view, False),
    "function": (cache_page(60)(view), True),
    "under another decorator": (never_cache(cache_page(60)(view)), True),
    "method": (ByMethod.as_view(), True),
    "dispatch": (ByDispatch.as_view(), True),
    "rest": (Listed.as_view(), True),
    "action": (Action.as_view(), True),
    "inherited": (Inheriting.as_view(), True),
}


@override_settings(MIDDLEWARE=[OTHER])
@pytest.mark.parametrize("name", VIEWS)
def test_it_is_found_out_which_views_are_cached(name: str, monkeypatch: pytest.MonkeyPatch):
    checked, needs_it = VIEWS[name]
    urls: Any = ModuleType("some_urls")
    urls.urlpatterns = [path("", include([path("x/", checked)]))]
    monkeypatch.setitem(sys.modules, "some_urls", urls)
    with override_settings(ROOT_URLCONF="some_urls"):
        assert [message.id for message in reported()] == ["cache_invalidation.E017"] * needs_it


@with_pages
@override_settings(MIDDLEWARE=[OTHER, OURS])
def test_w025_a_middleware_that_is_not_the_first():
    assert OURS in only(reported(), Warning, "W025").msg


@with_pages
@pytest.mark.parametrize("path", [OURS, f"{__name__}.Refined"])
def test_the_first_is_where_it_belongs(path: str):
    with override_settings(MIDDLEWARE=[path, OTHER]):
        assert reported() == []


class Misspelled(Listed):
    """Whose timeout is the default."""

    cache_timout = 60


class InheritingMistake(Misspelled):
    """With an option that there is, and what is no option."""

    cache_timeout = 60
    cache_control = "none"
    timeout = 5


@with_pages
@override_settings(MIDDLEWARE=[OURS])
@pytest.mark.parametrize("kinds", [[Misspelled], [InheritingMistake], [Misspelled, Listed] * 2])
def test_w026_a_misspelled_option(kinds: list[Any], monkeypatch: pytest.MonkeyPatch):
    urls: Any = ModuleType("some_urls")
    urls.urlpatterns = [path(f"{n}/", kind.as_view()) for n, kind in enumerate(kinds)]
    monkeypatch.setitem(sys.modules, "some_urls", urls)
    with override_settings(ROOT_URLCONF="some_urls"):
        message = only(reported(), Warning, "W026")
    assert f"{__name__}.Misspelled.cache_timout" in message.msg
    assert message.hint == "Did you mean cache_timeout?"


class ByDjango(View):
    """Cached by Django, for one method."""

    get = method_decorator(cache_page_of_django(60))(lambda self, request: HttpResponse("here"))


@method_decorator(cache_page_of_django(60), name="dispatch")
class AllByDjango(View):
    """Cached by Django, as a whole."""


@pytest.mark.parametrize(
    "cached",
    [
        cache_page_of_django(60)(view),
        never_cache(cache_page_of_django(60)(view)),
        ByDjango.as_view(),
        AllByDjango.as_view(),
    ],
    ids=["function", "under another decorator", "method", "class"],
)
def test_w014_pages_that_django_caches(cached: Any, monkeypatch: pytest.MonkeyPatch):
    urls: Any = ModuleType("some_urls")
    urls.urlpatterns = [path("", include([path("x/", cached), path("y/", view)]))]
    monkeypatch.setitem(sys.modules, "some_urls", urls)
    with override_settings(ROOT_URLCONF="some_urls"):
        assert f"{__name__}." in only(reported(), Warning, "W014").msg


@pytest.mark.parametrize("name", ["UpdateCacheMiddleware", "CacheMiddleware"])
def test_w014_pages_that_nobody_invalidates(name: str):
    middleware = f"django.middleware.cache.{name}"
    with override_settings(MIDDLEWARE=[middleware, *django_settings.MIDDLEWARE]):
        message = only(reported(), Warning, "W014")
    assert middleware in message.msg
    assert "(600)" in message.msg
