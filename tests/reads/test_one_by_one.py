"""Requests that are watched: what they ask for one by one, and could ask for at once."""

import gc
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any
from weakref import ref

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import path, register_converter
from django.urls.converters import StringConverter

from cache_invalidation import cached, cached_together
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from cache_invalidation.reads import one_by_one, profiles
from cache_invalidation.stores import get_store
from cache_invalidation.transactions.ahead import ahead
from tests.near.conftest import in_use, long_leases
from tests.testapp.models import Product

__all__ = ["in_use", "long_leases"]  # Fixtures.

pytestmark = pytest.mark.django_db(transaction=True)

ROUTE = "front/<int:pk>/"
LEARNS = 3  # requests: in the first, nothing is cached yet
SEEN = 2  # requests that are watched then


@cached(name="one_by_one.name")
def name(pk: int) -> str:
    return Product.objects.get(pk=pk).name


@cached(name="one_by_one.total")
def total(what: str, pk: int) -> str:
    return f"{what} {name(pk)}"


@cached(near=True, name="one_by_one.near")
def near() -> int:
    return Product.objects.count()


def answer(pk: int) -> HttpResponse:
    return HttpResponse(f"{total('stock', pk)} {total('price', pk)} {name(pk)}")


def front(request: HttpRequest, pk: int) -> HttpResponse:
    return answer(pk)


def writes(request: HttpRequest, pk: int) -> HttpResponse:
    name(pk)
    Product.objects.filter(pk=pk).update(stock=1)
    return answer(pk)


def begins(request: HttpRequest, pk: int) -> HttpResponse:
    name(pk)
    with transaction.atomic():
        return answer(pk)


def one(request: HttpRequest, pk: int) -> HttpResponse:
    return HttpResponse(name(pk))


def keeps(request: HttpRequest, pk: int) -> HttpResponse:
    return HttpResponse(f"{name(pk)} {near()}")


def none(request: HttpRequest) -> HttpResponse:
    return HttpResponse("nothing")


@cached(name="one_by_one.whole")
def whole(pk: int) -> str:
    return answer(pk).content.decode()


def computes(request: HttpRequest, pk: int) -> HttpResponse:
    whole.invalidate(pk)
    return HttpResponse(whole(pk))


@cached(name="one_by_one.aname")
async def aname(pk: int, what: str) -> str:
    return f"{what} {(await Product.objects.aget(pk=pk)).name}"


async def waits(request: HttpRequest, pk: int) -> HttpResponse:
    return HttpResponse("".join([await aname(pk, what) for what in ("a", "b", "c")]))


converted: list[str] = []


class OfProject(StringConverter):
    """Notes what it is asked for; one of a project may ask the database."""

    def to_python(self, value: str) -> str:
        converted.append(value)
        return value


register_converter(OfProject, "of_project")


def called(request: HttpRequest, pk: int, how: str) -> HttpResponse:
    return answer(pk)


def own_urls(get_response: Any) -> Any:
    def middleware(request: HttpRequest) -> Any:
        name(Product.objects.earliest("pk").pk)  # Nobody knows of a view yet.
        request.urlconf = own  # type: ignore[assignment]
        return get_response(request)

    return middleware


kept: list[Any] = []


def goes_on(request: HttpRequest, pk: int) -> HttpResponse:
    kept[:] = ref(request), copy_context()  # As of a task that goes on.
    return answer(pk)


own = (path("own/<int:pk>/", front),)

urlpatterns = [
    path("called/<int:pk>/<of_project:how>/", called),
    path("goes_on/<int:pk>/", goes_on),
    path(ROUTE, front),
    path("one/<int:pk>/", one),
    path("keeps/<int:pk>/", keeps),
    path("none/", none),
    path("writes/<int:pk>/", writes),
    path("begins/<int:pk>/", begins),
    path("computes/<int:pk>/", computes),
    path("waits/<int:pk>/", waits),
    path("together/<int:pk>/", cached_together(front)),
]


@pytest.fixture(autouse=True)
def watched(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Watch every request, of a process that knows nothing yet."""
    settings.ROOT_URLCONF = __name__
    monkeypatch.setattr(one_by_one, "SAMPLED", 1)
    profiles.forget()
    yield
    assert ahead.get() is None


def ask(address: str, method: str = "GET") -> dict[str, Any]:
    """Ask for two products by turns; return what is counted of each request, once it is learned."""
    products = [Product.objects.create(name=each) for each in ("boot", "shoe")]
    client = Client()
    for number in range(LEARNS + SEEN):
        if number == LEARNS:
            reset_metrics()
        for product in products:
            answered = client.generic(method, address.format(pk=product.pk))
            assert answered.status_code in (200, 404)
    return dict(read_metrics()["could_be_together"])


def test_what_a_view_asks_for_is_learned_by_what_it_is_for():
    found = ask("/front/{pk}/")
    requests = 2 * SEEN
    assert found == {ROUTE: {"requests": requests, "lookups": 2 * requests}}  # but for the first


@pytest.mark.parametrize(
    "address", ["/one/{pk}/", "/writes/{pk}/", "/begins/{pk}/", "/computes/{pk}/"]
)
def test_only_what_a_block_would_give_is_counted(address: str):
    (counted,) = ask(address).values()
    assert counted == {"requests": 2 * SEEN, "lookups": 0}


def test_what_is_kept_near_needs_no_round_trip():
    (counted,) = ask("/keeps/{pk}/").values()
    assert counted == {"requests": 2 * SEEN, "lookups": 0}


@pytest.mark.parametrize("address", ["/none/", "/nowhere/", "/together/{pk}/"])
def test_who_has_nothing_to_gain_is_not_counted(address: str):
    assert ask(address) == {}


def test_nor_is_what_is_no_page():
    assert ask("/front/{pk}/", "POST") == {}


def test_one_of_many_is_watched(monkeypatch):
    monkeypatch.setattr(one_by_one, "SAMPLED", float("inf"))
    assert ask("/front/{pk}/") == {}


def test_a_cache_that_looks_for_one_thing_at_a_time_has_nothing_to_gain(monkeypatch):
    monkeypatch.setattr(type(get_store()), "looks_at_many", False)
    assert ask("/front/{pk}/")[ROUTE]["lookups"] == 0


def test_a_coroutine_is_watched_as_well():
    product = Product.objects.create(name="boot")
    get = async_to_sync(AsyncClient().get)
    for _ in range(LEARNS + 1):
        assert get(f"/waits/{product.pk}/").status_code == 200
    found = read_metrics()["could_be_together"]["waits/<int:pk>/"]
    assert found == {"requests": LEARNS + 1, "lookups": 2}


def test_no_converter_of_the_project_is_asked_again():
    ask("/called/{pk}/twice/")
    assert len(converted) == 2 * (LEARNS + SEEN)  # requests


def test_an_urlconf_of_its_own_is_that_of_the_request(settings):
    settings.MIDDLEWARE = [f"{__name__}.own_urls"]
    requests = 2 * SEEN
    found = ask("/own/{pk}/")
    assert found == {"own/<int:pk>/": {"requests": requests, "lookups": 2 * requests}}


def test_who_goes_on_does_not_keep_the_request():
    Client().get(f"/goes_on/{Product.objects.create(name='boot').pk}/")
    gc.collect()
    request, context = kept
    assert context[ahead] is not None
    assert request() is None


def test_a_block_around_a_request_stays():
    product = Product.objects.create(name="boot")
    for _ in range(LEARNS):
        with cached_together("around"):
            Client().get(f"/front/{product.pk}/")
    metrics = read_metrics()
    assert metrics["fetched_together"]
    assert not metrics["could_be_together"]
