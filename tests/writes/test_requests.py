"""A request that is one transaction, as ``ATOMIC_REQUESTS`` makes it; and views that are async."""

from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from cache_invalidation import ModelInvalidation, cached, registry
from tests.delivered import Delivered, update_behind_the_back
from tests.testapp.models import Category

pytestmark = pytest.mark.django_db(transaction=True)


@cached(tags=["testapp.category:{pk}"], name="requests-name")
def name_of(pk: int) -> str:
    return Category.objects.get(pk=pk).name


def read(request: HttpRequest, pk: int) -> HttpResponse:
    return HttpResponse(name_of(pk))


def rename(request: HttpRequest, pk: int) -> HttpResponse:
    category = Category.objects.get(pk=pk)
    category.name = request.GET["name"]
    category.save()
    seen = name_of(pk)
    if "fail" in request.GET:
        raise RuntimeError(seen)
    return HttpResponse(seen)


async def rename_async(request: HttpRequest, pk: int) -> HttpResponse:
    category = await Category.objects.aget(pk=pk)
    category.name = request.GET["name"]
    await category.asave()
    return HttpResponse(category.name)


urlpatterns = [
    path("read/<int:pk>/", read),
    path("rename/<int:pk>/", rename),
    path("rename-async/<int:pk>/", rename_async),
]


@pytest.fixture(autouse=True)
def rule(settings: Any) -> Iterator[None]:
    settings.ROOT_URLCONF = __name__
    with registry.override(Category, ModelInvalidation):
        yield


@pytest.fixture
def category() -> Category:
    return Category.objects.create(name="old")


@pytest.fixture
def atomic_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    settings: Any = connections.settings["default"]
    monkeypatch.setitem(settings, "ATOMIC_REQUESTS", True)


def body(response: Any) -> str:
    return str(response.content.decode())


def test_a_request_that_is_a_transaction_delivers_when_it_ends(
    category: Category, client: Client, atomic_requests: None, deliveries: Delivered
) -> None:
    assert body(client.get(f"/read/{category.pk}/")) == "old"
    deliveries.clear()
    assert body(client.get(f"/rename/{category.pk}/?name=new")) == "new"
    assert len(deliveries) == 1
    assert body(client.get(f"/read/{category.pk}/")) == "new"


def test_a_request_that_fails_delivers_nothing(
    category: Category, client: Client, atomic_requests: None, deliveries: Delivered
) -> None:
    assert body(client.get(f"/read/{category.pk}/")) == "old"
    deliveries.clear()
    with pytest.raises(RuntimeError, match="never"):
        client.get(f"/rename/{category.pk}/?name=never&fail=1")
    assert deliveries == []
    assert body(client.get(f"/read/{category.pk}/")) == "old"


def test_a_request_that_is_a_transaction_fills_the_cache(
    category: Category, client: Client, atomic_requests: None
) -> None:
    client.get(f"/read/{category.pk}/")
    update_behind_the_back(Category.objects.filter(pk=category.pk), name="unseen")
    assert body(client.get(f"/read/{category.pk}/")) == "old", "it was not stored"


@pytest.mark.parametrize("times", [1, 3])
def test_an_async_view_delivers_what_it_saves(
    category: Category, client: Client, deliveries: Delivered, times: int
) -> None:
    client.get(f"/read/{category.pk}/")
    deliveries.clear()
    for number in range(times):
        get: Any = async_to_sync(AsyncClient().get)
        assert body(get(f"/rename-async/{category.pk}/?name=new{number}")) == f"new{number}"
        assert body(client.get(f"/read/{category.pk}/")) == f"new{number}"
    assert len(deliveries) == times
