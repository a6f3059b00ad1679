"""Views that cache by hand: each request is a unit of work, by WSGI and by ASGI."""

import asyncio

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import AsyncClient, Client

from tests.delivered import update_behind_the_back
from tests.testapp.models import Product
from tests.tracked import views

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])


@pytest.fixture(autouse=True)
def site(settings):
    settings.ROOT_URLCONF = "tests.tracked.views"
    views.computed.clear()


def ask(url, client=None):
    response = (client or Client()).get(url)
    assert response.status_code == 200
    return response.content.decode()


def aask(url):
    async def ask():
        response = await AsyncClient().get(url)
        return response.content.decode()

    return async_to_sync(ask)()


WAYS = {
    "get-and-set": (ask, "/product/{}/"),
    "get_or_set": (ask, "/get_or_set/{}/"),
    "cache_page": (ask, "/page/{}/"),
    "coroutine": (aask, "/coroutine/{}/"),
    "coroutine-by-wsgi": (ask, "/coroutine/{}/"),
    "tasks": (aask, "/tasks/{}/"),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_a_view_caches_is_never_stale(cache, product, way):
    get, url = WAYS[way]
    url = url.format(product.pk)

    def name():
        return get(url).split()[0]

    for _ in range(3):  # Some need to see the versions first.
        assert name() == "old"
    views.computed.clear()
    assert name() == "old"
    assert views.computed == []
    Product.objects.filter(pk=product.pk).update(name="new")
    assert name() == "new"
    update_behind_the_back(Product.objects.filter(pk=product.pk), name="unseen")
    assert name() == "new"


def test_the_object_that_the_view_has_loaded_before(cache, product):
    url = f"/before/{product.pk}/"
    assert [ask(url) for _ in range(4)] == ["<h1>old</h1>"] * 4
    assert views.computed == ["page", "page"]
    Product.objects.filter(pk=product.pk).update(name="new")
    assert [ask(url) for _ in range(4)] == ["<h1>new</h1>"] * 4


def test_what_is_made_of_the_user(cache, product):
    user = User.objects.create_user("ann")
    client = Client()
    client.force_login(user)
    url = f"/user/{product.pk}/"
    assert [ask(url, client) for _ in range(4)] == ["ann: old"] * 4
    assert len(views.computed) < 8
    User.objects.filter(pk=user.pk).update(username="anna")
    assert ask(url, client) == "anna: old"


def test_requests_at_the_same_time_are_apart(cache, product):
    other = Product.objects.create(name="other")

    async def both():
        client = AsyncClient()
        urls = [f"/coroutine/{each.pk}/" for each in (product, other)]
        found = await asyncio.gather(*map(client.get, urls))
        return [response.content.decode() for response in found]

    for _ in range(3):
        assert async_to_sync(both)() == ["old", "other"]
    Product.objects.filter(pk=other.pk).update(name="new")
    update_behind_the_back(Product.objects.filter(pk=product.pk), name="unseen")
    assert async_to_sync(both)() == ["old", "new"]
