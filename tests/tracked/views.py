"""A site as there are many, which caches by hand; nothing in it knows of this app."""

import asyncio

from asgiref.sync import sync_to_async
from django.core.cache import caches
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.cache import cache_page

from cache_invalidation.conf import settings
from tests.testapp.models import Product

computed: list[str] = []


def cache():
    return caches[settings.CACHE]


def name_of(pk):
    computed.append("name")
    return Product.objects.get(pk=pk).name


def product(request, pk):
    key = f"product:{pk}"
    name = cache().get(key)
    if name is None:
        name = name_of(pk)
        cache().set(key, name, 300)
    return HttpResponse(name)


def read_before(request, pk):
    found = Product.objects.get(pk=pk)
    key = f"product:{pk}:page"
    html = cache().get(key)
    if html is None:
        computed.append("page")
        html = f"<h1>{found.name}</h1>"
        cache().set(key, html, 300)
    return HttpResponse(html)


def for_user(request, pk):
    key = f"product:{pk}:{request.user.pk}"
    html = cache().get(key)
    if html is None:
        computed.append("user")
        html = f"{request.user.get_username()}: {name_of(pk)}"
        cache().set(key, html, 300)
    return HttpResponse(html)


def get_or_set(request, pk):
    return HttpResponse(cache().get_or_set(f"product:{pk}", lambda: name_of(pk)))


async def in_coroutine(request, pk):
    key = f"product:{pk}"
    name = await cache().aget(key)
    if name is None:
        name = await sync_to_async(name_of)(pk)
        await cache().aset(key, name, 300)
    return HttpResponse(name)


async def in_tasks(request, *pks):
    async def one(pk):
        return await sync_to_async(name_of)(pk)

    names = await cache().aget("names")
    if names is None:
        names = " ".join(await asyncio.gather(*map(one, pks)))
        await cache().aset("names", names, 300)
    return HttpResponse(names)


async def task(request, pk):
    return await in_tasks(request, pk, pk)


def page(request, pk):
    return HttpResponse(name_of(pk))


def kept_page(request, pk):
    return cache_page(300, cache=settings.CACHE)(page)(request, pk)


urlpatterns = [
    path("product/<int:pk>/", product),
    path("before/<int:pk>/", read_before),
    path("user/<int:pk>/", for_user),
    path("get_or_set/<int:pk>/", get_or_set),
    path("coroutine/<int:pk>/", in_coroutine),
    path("tasks/<int:pk>/", task),
    path("page/<int:pk>/", kept_page),
]
