"""The API with each response cached in two lines, and without."""

from django.urls import include, path, re_path
from rest_framework.decorators import api_view
from rest_framework.routers import SimpleRouter

from cache_invalidation.rest import CachedResponseMixin, cached_response
from tests.rest import api


class Products(CachedResponseMixin, api.Products):
    cache_timeout = 300


class Categories(CachedResponseMixin, api.Categories):
    cache_timeout = 300


class Reviews(CachedResponseMixin, api.Reviews):
    cache_timeout = 300


class Scarce(CachedResponseMixin, api.Scarce):
    cache_timeout = 300


class Account(CachedResponseMixin, api.Account):
    cache_timeout = 300


class Plain(CachedResponseMixin, api.Plain):
    cache_timeout = 300


class Decorated(api.Products):
    cheap = cached_response(300)(api.Products.cheap)


total = api_view(["GET"])(cached_response(300)(api.total))


def _routes(products, categories, reviews, scarce, account, plain, total, decorated):
    router = SimpleRouter()
    router.register("products", products, "product")
    router.register("categories", categories, "category")
    router.register("reviews", reviews, "review")
    router.register("scarce", scarce, "scarce")
    router.register("decorated", decorated, "decorated")
    return [
        *router.urls,
        path("account/", account.as_view()),
        path("plain/", plain.as_view()),
        path("total/", total),
    ]


CACHED = _routes(Products, Categories, Reviews, Scarce, Account, Plain, total, Decorated)
UNCACHED = _routes(
    *(api.Products, api.Categories, api.Reviews, api.Scarce, api.Account, api.Plain),
    *(api.plain_total(), api.Products),
)

urlpatterns = [
    re_path("^(?P<version>v[12])/", include(CACHED)),
    re_path("^uncached/(?P<version>v[12])/", include(UNCACHED)),
    path("system/", include("cache_invalidation.api.urls")),
]
