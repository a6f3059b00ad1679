"""`cached_together` around views, and `CachedTogetherMiddleware` around all of them."""

from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import include, path, re_path
from django.utils.decorators import method_decorator
from django.views import View
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from cache_invalidation import cached, cached_together
from cache_invalidation.views import cache_page
from tests.reads.fetching import fetched, lookups
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])

MIDDLEWARE = "cache_invalidation.middleware.CachedTogetherMiddleware"


@cached(tags=["part:{number}"])
def part(number: Any, of: str = "") -> str:
    return f"{number} {of}"


@cached(tags=["apart:{number}"])
async def apart(number: Any) -> str:
    return str(number)


def text(request: HttpRequest, pk: Any, of: Any = "view") -> HttpResponse:
    return HttpResponse(" ".join([part(1, of), part(2, of), part(pk, of), part(pk)]))


async def atext(request: HttpRequest, pk: int) -> HttpResponse:
    return HttpResponse(" ".join([await apart(1), await apart(2), await apart(pk)]))


def write(request: HttpRequest, pk: int) -> HttpResponse:
    if request.method == "POST":
        part(1)
    return text(request, pk, "write")


class Page(View):
    of = "class"

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        return text(request, pk, self.of)


class Another(Page):
    of = "another class"


@method_decorator(cached_together, name="dispatch")
class Decorated(Page):
    of = "decorated class"


class APage(View):
    async def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        return await atext(request, pk)


class Parts(ViewSet):
    permission_classes = authentication_classes = ()

    def list(self, request: Any, pk: int) -> Response:
        return Response([part(number, "list") for number in range(5)])

    def retrieve(self, request: Any, pk: int) -> Response:
        return Response([part(1, "one"), part(2, "one"), part(pk, "one")])


DECORATED = {
    "function": cached_together(text),
    "class": cached_together(Page.as_view()),
    "another": cached_together(Another.as_view()),
    "method": Decorated.as_view(),
    "coroutine": cached_together(atext),
    "list": cached_together(Parts.as_view({"get": "list"})),
    "retrieve": cached_together(Parts.as_view({"get": "retrieve"})),
    "below": cache_page(300)(cached_together(text)),
}
AROUND = {
    "function": text,
    "class": Page.as_view(),
    "another": Another.as_view(),
    "coroutine": atext,
    "acoroutine": APage.as_view(),
    "list": Parts.as_view({"get": "list"}),
    "retrieve": Parts.as_view({"get": "retrieve"}),
    "write": write,
}


def paths(views: dict[str, Any]) -> list[Any]:
    return [path(f"{name}/<int:pk>/", view) for name, view in views.items()]


urlpatterns = [
    path("decorated/", include(paths(DECORATED))),
    path("around/", include(paths(AROUND))),
    path("uuid/<uuid:pk>/", text),
    re_path(r"^unnamed/([0-9]+)/$", text),
]


@pytest.fixture(autouse=True)
def urls(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = []


def page(client: Any, address: str, redis_client: Any) -> int:
    """Return how many lookups it takes to answer a request."""
    with lookups(redis_client) as number:
        assert client.get(address).status_code == 200
    return number[0]


@pytest.mark.parametrize("name", [name for name in DECORATED if name != "below"])
def test_a_decorated_view_asks_once_whatever_the_url(client, redis_client, name):
    for pk in (11, 12, 13, 14):
        client.get(f"/decorated/{name}/{pk}/")  # Nothing is cached yet.
    for pk in (11, 12):
        client.get(f"/decorated/{name}/{pk}/")
    assert [page(client, f"/decorated/{name}/{pk}/", redis_client) for pk in (13, 14)] == [1, 1]
    assert fetched()[1] == 0


@pytest.fixture
def around(settings: Any) -> None:
    settings.MIDDLEWARE = [MIDDLEWARE]


@pytest.mark.usefixtures("around")
@pytest.mark.parametrize("name", [name for name in AROUND if name != "write"])
def test_with_the_middleware_each_view_does(client, redis_client, name):
    for pk in (11, 12, 13, 14, 11, 12):
        client.get(f"/around/{name}/{pk}/")
    assert [page(client, f"/around/{name}/{pk}/", redis_client) for pk in (13, 14)] == [1, 1]


@pytest.mark.usefixtures("around")
def test_views_are_told_apart(client, redis_client):
    for of in ("view", "class", "another class", ""):
        for number in (1, 2, 11):
            part(number, of)
    names = "function", "class", "another"
    for expected in (4, 4, 1):
        asked = [page(client, f"/around/{name}/11/", redis_client) for name in names]
        assert asked == [expected] * 3


@pytest.mark.parametrize("middleware", [[], [MIDDLEWARE]])
def test_so_are_the_actions_of_one_set_of_views(settings, client, redis_client, middleware):
    settings.MIDDLEWARE = middleware
    where = "around" if middleware else "decorated"
    for _ in range(4):
        for name in ("list", "retrieve"):
            client.get(f"/{where}/{name}/11/")
    for name in ("list", "retrieve"):
        assert page(client, f"/{where}/{name}/11/", redis_client) == 1
    assert fetched()[1] == 0


@pytest.mark.usefixtures("around")
def test_other_arguments_of_urls(client, redis_client):
    for address in ("/uuid/{}/", "/unnamed/{}/"):
        pks = [UUID(int=number) if "uuid" in address else number for number in range(1, 5)]
        for pk in (*pks, *pks[:2]):
            client.get(address.format(pk))
        assert [page(client, address.format(pk), redis_client) for pk in pks[2:]] == [1, 1]


@pytest.mark.usefixtures("around")
def test_asynchronous_requests(redis_client):
    client = AsyncClient()

    async def ask() -> None:
        for pk in (11, 12, 13, 14, 11, 12, 13, 14):
            for name in ("coroutine", "function"):
                assert (await client.get(f"/around/{name}/{pk}/")).status_code == 200

    async_to_sync(ask)()
    with lookups(redis_client) as number:
        async_to_sync(client.get)("/around/coroutine/13/")
        async_to_sync(client.get)("/around/function/13/")
    assert number == [2]


@pytest.mark.usefixtures("around")
def test_only_requests_that_read(client, redis_client):
    for method in (client.post, client.put, client.patch, client.delete):
        for pk in (11, 11, 11):
            method(f"/around/write/{pk}/")
    assert fetched() == (0, 0)
    for _ in range(3):
        client.head("/around/write/11/")
    assert fetched()[0] > 0


def test_what_other_middleware_asks_for_counts_from_the_view_on(settings, client, redis_client):
    settings.MIDDLEWARE = [MIDDLEWARE, f"{__name__}.asking"]
    for pk in (11, 11, 11):
        client.get(f"/around/function/{pk}/")
    # One before it is known which view it is, one with all others.
    assert page(client, "/around/function/11/", redis_client) == 2


def asking(get_response: Any) -> Any:
    def middleware(request: HttpRequest) -> HttpResponse:
        part(100)
        response: HttpResponse = get_response(request)
        part(101)
        return response

    return middleware


def test_a_page_that_is_cached_is_stored_and_asks_for_nothing_else(settings, client, redis_client):
    settings.MIDDLEWARE = ["cache_invalidation.middleware.CachePageMiddleware", MIDDLEWARE]
    for pk in (11, 12, 13):
        client.get(f"/decorated/below/{pk}/")
    for _ in range(5):
        assert page(client, "/decorated/below/13/", redis_client) == 1
    assert fetched() == (0, 0)


def test_what_the_view_has_written_is_seen_by_whatever_comes_after_it(client, settings):
    settings.MIDDLEWARE = [MIDDLEWARE]
    product = Product.objects.create(name="x", stock=1)

    @cached
    def stock() -> int:
        return Product.objects.values_list("stock", flat=True).get(pk=product.pk)

    seen: list[int] = []

    def view(request: HttpRequest) -> HttpResponse:
        part(1)
        if seen_often := len(seen) >= 3:
            Product.objects.filter(pk=product.pk).update(stock=2)
        seen.append(stock())
        return HttpResponse(str(seen_often))

    urlpatterns.append(path("writes/", view))
    try:
        for _ in range(4):
            Client().get("/writes/")
    finally:
        urlpatterns.pop()
    assert seen == [1, 1, 1, 2]
