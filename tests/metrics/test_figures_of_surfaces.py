"""What is measured of functions is measured of whatever else is cached."""

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import caches
from django.http import HttpRequest, HttpResponse
from django.template import Context, Engine
from django.test import Client
from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView

from cache_invalidation import cached, unit_of_work
from cache_invalidation.jinja import CachedExtension
from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.querysets import CachedQuerySet
from cache_invalidation.reads import hints, measured
from cache_invalidation.rest import CachedResponseMixin
from cache_invalidation.stores import get_store
from cache_invalidation.surfaces.inputs import trail
from cache_invalidation.views import cache_page
from tests.blocks.rendering import LIBRARIES
from tests.jinja.conftest import environment
from tests.testapp.models import Category

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


def _names() -> list[str]:
    return list(Category.objects.order_by("pk").values_list("name", flat=True))


function = cached(name="figures.function")(_names)


@cached(name="figures.coroutine")
async def coroutine() -> list[str]:
    return [name async for name in Category.objects.order_by("pk").values_list("name", flat=True)]


@cache_page(300)
def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(_names()))


class Answers(CachedResponseMixin, APIView):
    """A view of REST framework that anybody may ask."""

    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Any) -> Response:
        return Response(_names())


urlpatterns = [path("page/", page), path("rest/", Answers.as_view())]

SOURCE = "{% cached 300 %}{% for each in rows %}{{ each.name }}{% endfor %}{% endcached %}"


def get(address: str) -> None:
    assert Client().get(address).status_code == 200


def block() -> None:
    loader = "django.template.loaders.locmem.Loader", {"figures.html": SOURCE}
    builtins = [LIBRARIES["cache_invalidation"]]
    template = Engine(loaders=[loader], builtins=builtins).get_template("figures.html")
    template.render(Context({"rows": Category.objects.order_by("pk")}))


def jinja() -> None:
    env = environment({"figures.jinja": SOURCE}, [CachedExtension])
    env.get_template("figures.jinja").render(rows=Category.objects.order_by("pk"))


def queryset() -> None:
    list(CachedQuerySet(Category).order_by("pk").cached(timeout=300))


def tracked(by_hand: bool) -> None:
    cache = caches["tracked"]
    with unit_of_work():
        if not by_hand:
            cache.get_or_set("product:figures", _names, 300)
        elif cache.get("product:figures") is None:
            cache.set("product:figures", _names(), 300)


ASKED: list[tuple[str, Callable[[], object]]] = [
    ("figures.function", function),
    ("figures.coroutine", async_to_sync(coroutine)),
    (f"page:{__name__}.page", lambda: get("/page/")),
    (f"page:{__name__}.Answers.get", lambda: get("/rest/")),
    ("block:figures.html", block),
    ("block:figures.jinja", jinja),
    ("testapp.category.queries", queryset),
    ("cache:product:*", lambda: tracked(by_hand=False)),
    ("cache:product:*", lambda: tracked(by_hand=True)),
]


@pytest.mark.parametrize(("name", "ask"), ASKED)
def test_the_same_is_measured_of_each(
    name: str, ask: Callable[[], object], settings: Any, monkeypatch: pytest.MonkeyPatch
):
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = ["cache_invalidation.middleware.CachePageMiddleware"]
    settings.CACHE_INVALIDATION |= {"CACHE": "tracked"}
    monkeypatch.setattr(measured, "SAMPLED", 1)
    caches["tracked"].clear()
    get_store().reset_counters()
    counters.discard()
    hints.forget()
    trail.steps.clear()
    category = Category.objects.create(name="old")
    for _ in range(3):
        ask()
    category.name = "new"
    category.save()
    for _ in range(2):
        ask()
    Category.objects.filter(pk=category.pk).update(name="new")
    ask()
    figures = read_metrics()["figures"].pop(name)
    assert figures["missed"] == {"new": 1, "invalidated": 2}
    assert figures["dropped_by"] == {"testapp.category": 2}
    assert (figures["fills"], figures["hit_fills"]) == (3, 2)
    assert figures["computed"] == 3
    assert figures["seconds"] > 0
    assert figures["bytes"] > 3 * len("old")
    assert (figures["compared_refills"], figures["equal_refills"]) == (2, 1)
    assert figures["equal_after"] == {"testapp.category": 1}
