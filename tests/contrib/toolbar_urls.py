"""The site that the tests of the panel visit; loaded once the toolbar is installed."""

from debug_toolbar.toolbar import debug_toolbar_urls
from django.http import HttpRequest, HttpResponse
from django.urls import path

from cache_invalidation import cached
from tests.testapp.models import Product


@cached(name="panel.names")
def names() -> list[str]:
    return list(Product.objects.values_list("name", flat=True))


def shop(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"<html><body>{names()}</body></html>")


@cached(name="panel.stock")
def stock(number: int) -> int:
    return Product.objects.filter(stock=number).count()


def stocks(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"<html><body>{[stock(number) for number in range(5)]}</body></html>")


async def ashop(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"<html><body>{await anames()}</body></html>")


@cached(name="panel.coroutine")
async def anames() -> list[str]:
    return [product.name async for product in Product.objects.all()]


def failing(request: HttpRequest) -> HttpResponse:
    try:
        raising()
    except LookupError:
        return HttpResponse("<html><body>failed</body></html>")
    raise AssertionError


@cached(tags="panel", name="panel.raising")
def raising() -> None:
    raise LookupError


def rename(request: HttpRequest) -> HttpResponse:
    Product.objects.update(name="Ristretto")
    return HttpResponse("<html><body>renamed</body></html>")


def nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse("<html><body>nothing</body></html>")


urlpatterns = [
    path("shop/", shop),
    path("ashop/", ashop),
    path("stocks/", stocks),
    path("failing/", failing),
    path("rename/", rename),
    path("nothing/", nothing),
    *debug_toolbar_urls(),
]
