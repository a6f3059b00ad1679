"""Values that are set late: while a response is streamed, or around a transaction of the view."""

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.core.handlers.asgi import ASGIHandler
from django.db import transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.test import Client
from django.urls import path

from tests.testapp.models import Product
from tests.tracked import views

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])


@pytest.fixture(autouse=True)
def site(settings):
    settings.ROOT_URLCONF = __name__
    views.computed.clear()


async def streamed(request, pk):
    product = await Product.objects.aget(pk=pk)

    async def parts():
        cache = views.cache()
        if (text := await cache.aget("product:1")) is None:
            views.computed.append(pk)
            text = product.name
            await cache.aset("product:1", text)
        yield text

    return StreamingHttpResponse(parts())


def atomic(request, pk):
    cache = views.cache()
    with transaction.atomic():
        product = Product.objects.get(pk=pk)
        if "write" in request.GET:
            Product.objects.filter(pk=pk).update(name=request.GET["write"])
            product.refresh_from_db()
        if (text := cache.get("product:1")) is None:
            text = product.name
            cache.set("product:1", text)
        if "rollback" in request.GET:
            transaction.set_rollback(True)
    if "after" in request.GET:
        cache.get("product:1")
        cache.set("product:1", product.name)
    return HttpResponse(text)


urlpatterns = [path("streamed/<int:pk>/", streamed), path("atomic/<int:pk>/", atomic)]


async def ask_asgi(url):
    """Return the body that a server gets."""
    request = {"type": "http", "method": "GET", "path": url, "headers": [], "query_string": b""}
    server = ApplicationCommunicator(ASGIHandler(), request)
    await server.send_input({"type": "http.request", "body": b""})
    body, goes_on = b"", True
    while goes_on:
        message = await server.receive_output(60)
        body += message.get("body", b"")
        goes_on = message["type"] == "http.response.start" or message.get("more_body")
    await server.wait(60)
    return body


def test_what_is_set_while_asgi_streams_is_kept_like_any_other(cache, product):
    url = f"/streamed/{product.pk}/"
    for _ in range(4):
        assert async_to_sync(ask_asgi)(url) == b"old"
    assert len(views.computed) == 2  # The versions have to be seen before.
    Product.objects.filter(pk=product.pk).update(name="new")
    assert async_to_sync(ask_asgi)(url) == b"new"


@pytest.mark.parametrize("after", ["", "&after=1"], ids=["inside", "after"])
def test_a_view_in_a_transaction_that_may_be_rolled_back(cache, product, after):
    def get(query=""):
        return Client().get(f"/atomic/{product.pk}/?{query}{after}").content

    assert [get() for _ in range(3)] == [b"old"] * 3
    assert get("write=never&rollback=1") == b"never"
    assert [get() for _ in range(2)] == [b"old"] * 2
    assert get("write=new") == b"new"
    assert [get() for _ in range(3)] == [b"new"] * 3
