"""The path of the request that has caused an invalidation, and of no other."""

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from cache_invalidation import invalidate
from cache_invalidation.metrics.report import read_recent
from cache_invalidation.metrics.requests import LONGEST, current_path

pytestmark = pytest.mark.django_db(transaction=True)


def drops(request: HttpRequest, what: str) -> HttpResponse:
    invalidate(tags=[what])
    return HttpResponse()


async def adrops(request: HttpRequest, what: str) -> HttpResponse:
    await sync_to_async(invalidate)(tags=[what])
    return HttpResponse()


def fails(request: HttpRequest) -> HttpResponse:
    raise ValueError("as ever")


urlpatterns = [path("drops/<what>/", drops), path("adrops/<what>/", adrops), path("fails/", fails)]


@pytest.fixture(autouse=True)
def urls(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__


CLIENTS: dict[str, Callable[[], Callable[[str], Any]]] = {
    "WSGI": lambda: Client().get,
    "ASGI": lambda: async_to_sync(AsyncClient().get),
}


@pytest.mark.parametrize("server", CLIENTS)
@pytest.mark.parametrize("view", ["drops", "adrops"])
def test_an_invalidation_says_which_request_it_was(server: str, view: str):
    assert CLIENTS[server]()(f"/{view}/{server}/").status_code == 200
    (entry,) = [each for each in read_recent() if each["targets"]["tags"] == [server]]
    assert entry["path"] == f"/{view}/{server}/"
    assert current_path() is None


def test_it_is_forgotten_after_a_failure():
    with pytest.raises(ValueError, match="as ever"):
        Client().get("/fails/")
    assert current_path() is None


def test_a_path_of_any_length_is_told():
    what = "x" * LONGEST
    Client().get(f"/drops/{what}/")
    (entry,) = [each for each in read_recent() if each["targets"]["tags"] == [what]]
    assert entry["path"] == f"/drops/{what}/"[:LONGEST]
