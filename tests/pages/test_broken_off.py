"""A request that is broken off lets the next one compute the page at once."""

import asyncio
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse
from django.test import AsyncRequestFactory, RequestFactory, override_settings
from django.urls import path

from cache_invalidation.middleware import CachePageMiddleware
from cache_invalidation.views import cache_page
from tests.pages.visitors import status

pytestmark = pytest.mark.django_db(transaction=True)

_breaking = {"off": False}


@cache_page(60, lock=True)
def _view(request: HttpRequest) -> HttpResponse:
    if _breaking["off"]:
        raise KeyboardInterrupt
    return HttpResponse("x")


@cache_page(60, lock=True)
async def _coroutine(request: HttpRequest) -> HttpResponse:
    if _breaking["off"]:
        await asyncio.sleep(60)
    return HttpResponse("x")


urlpatterns = [path("view/", _view), path("coroutine/", _coroutine)]


@pytest.fixture(autouse=True)
def served(site: None) -> Any:
    with override_settings(
        ROOT_URLCONF=__name__, CACHE_INVALIDATION={"CACHE_STATUS": True, "LOCK_TIMEOUT": 600}
    ):
        _breaking["off"] = True
        yield


def test_a_function_that_is_interrupted() -> None:
    with pytest.raises(KeyboardInterrupt):
        CachePageMiddleware(_view)(RequestFactory().get("/view/"))
    _breaking["off"] = False
    found = CachePageMiddleware(_view)(RequestFactory().get("/view/"))
    assert status(found) == "fwd=miss; stored"


def test_a_coroutine_that_is_cancelled() -> None:
    def ask() -> Any:
        request = AsyncRequestFactory().get("/coroutine/")
        return CachePageMiddleware(_coroutine)(request)

    async def visit() -> None:
        task = asyncio.ensure_future(ask())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        _breaking["off"] = False
        assert status(await ask()) == "fwd=miss; stored"

    async_to_sync(visit)()
