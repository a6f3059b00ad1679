"""The panel, as the real toolbar shows it."""

import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client
from django.utils.html import strip_tags

from cache_invalidation import cached
from cache_invalidation.contrib.debug_toolbar import CacheInvalidationPanel
from cache_invalidation.observers import observers
from cache_invalidation.stores import get_store
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True)

PANEL = "cache_invalidation.contrib.debug_toolbar.CacheInvalidationPanel"


@pytest.fixture
def toolbar(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A project with the toolbar, as its documentation and ours say."""
    before = list(observers)
    # Not as a setting, since the toolbar answers its signal before it is installed; and without its
    # own panels, which change classes of Django for good.
    monkeypatch.setattr("debug_toolbar.settings.get_panels", lambda: [PANEL])
    settings.DEBUG = True
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "debug_toolbar"]
    settings.MIDDLEWARE = ["debug_toolbar.middleware.DebugToolbarMiddleware", *settings.MIDDLEWARE]
    settings.ROOT_URLCONF = "tests.contrib.toolbar_urls"
    settings.INTERNAL_IPS = ["127.0.0.1"]
    CacheInvalidationPanel.ready()  # As the toolbar does once in each process.
    yield
    observers[:] = before


def shown(client: Client, response: Any) -> str:
    """Return the text of the panel, which the toolbar loads when it is opened."""
    page = response.content.decode()
    (request_id,) = re.findall(r'data-request-id="(\w+)"', page)
    about = {"request_id": request_id, "panel_id": "CacheInvalidationPanel"}
    answer = client.get("/__debug__/render_panel/", about).json()
    return " ".join(unescape(strip_tags(answer["content"])).split())


def test_a_miss_and_what_it_depends_on(toolbar: None, client: Client) -> None:
    response = client.get("/shop/")
    assert "0 of 1 hit" in response.content.decode()
    text = shown(client, response)
    assert "panel.names" in text
    assert "miss nothing was there" in text
    assert "ms to compute" in text
    assert text.endswith("testapp.product")


def test_a_hit(toolbar: None, client: Client) -> None:
    client.get("/shop/")
    response = client.get("/shop/")
    assert "1 of 1 hit" in response.content.decode()
    text = shown(client, response)
    assert "hit" in text
    assert "to compute" not in text
    assert "testapp.product" in text


def test_a_miss_says_by_which_write(toolbar: None, client: Client) -> None:
    Product.objects.create(name="Espresso")
    client.get("/shop/")
    client.get("/rename/")
    text = shown(client, client.get("/shop/"))
    assert "miss it had been invalidated" in text
    assert "dropped: testapp.product" in text
    assert "by update of testapp.product" in text
    assert "at /rename/" in text


def test_the_writes_of_many_misses_are_looked_for_at_once(toolbar: None, client: Client) -> None:
    Product.objects.create(name="Espresso")
    client.get("/stocks/")
    client.get("/rename/")
    with mock.patch.object(get_store(), "recent", wraps=get_store().recent) as recent:
        text = shown(client, client.get("/stocks/"))
    assert text.count("by update of testapp.product") == 5
    assert recent.call_count == 1


def test_why_it_was_not_stored(toolbar: None, client: Client) -> None:
    assert "not stored: exception" in shown(client, client.get("/failing/"))


def test_a_request_that_asks_for_nothing(toolbar: None, client: Client) -> None:
    response = client.get("/nothing/")
    assert "none asked for" in response.content.decode()
    assert "asked for nothing that is cached" in shown(client, response)


def test_what_is_asked_for_elsewhere_is_not_shown(toolbar: None, client: Client) -> None:
    response = client.get("/nothing/")
    elsewhere()
    assert "panel.elsewhere" not in shown(client, response)


@cached(tags="panel", name="panel.elsewhere")
def elsewhere() -> int:
    return 1


def test_an_asynchronous_view(toolbar: None, client: Client) -> None:
    response = async_to_sync(AsyncClient().get)("/ashop/")
    text = shown(client, response)
    assert "panel.coroutine" in text
    assert "ms to compute" in text


def test_it_listens_once(toolbar: None) -> None:
    before = list(observers)
    CacheInvalidationPanel.ready()
    assert observers == before
