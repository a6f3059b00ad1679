"""What a hit of a page and of a template block costs, next to those of Django on the same cache."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.template import Context, Engine
from django.test import RequestFactory, override_settings
from django.views.decorators.cache import cache_page as cache_page_of_django

from cache_invalidation.middleware import CachePageMiddleware
from cache_invalidation.views import cache_page
from tests.benchmarks.comparing import compared
from tests.benchmarks.server import CacheServer
from tests.benchmarks.table import Row
from tests.benchmarks.timing import Scale
from tests.testapp.models import Product

PAGE: Final = "/products/?page=2&sort=name&utm_source=mail"
BLOCK: Final = "{{% load {library} %}}{{% {tag} 300 {name} product.pk %}}{text}{{% end{tag} %}}"
TEXT: Final = "<li>{{ product.name }}</li>" * 100


def _page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.GET['page']} {request.GET['sort']}" + "x" * 20_000)


def measure(scale: Scale) -> Iterator[Row]:
    """Measure a page of 20 kB and a block of 2 kB."""
    CacheServer().empty()
    with override_settings(ALLOWED_HOSTS=["*"]):
        yield from _pages(scale)
    yield _blocks(scale)


def _pages(scale: Scale) -> Iterator[Row]:
    ours = CachePageMiddleware(cache_page(300)(_page))
    theirs = cache_page_of_django(300)(_page)
    answer = partial(_answer, ours)
    held = answer().headers["ETag"]
    answer()
    with CacheServer().cost() as cost:
        answer()
    trips = cost.round_trips
    yield Row(name="page: round trips", unit="", ours=trips, figure=trips, budget=1)
    with CacheServer().cost() as cost:
        assert answer(HTTP_IF_NONE_MATCH=held).status_code == 304
    trips = cost.round_trips
    yield Row(name="page: round trips of a 304", unit="", ours=trips, figure=trips, budget=1)
    name, by_django = "page: 20 kB, to cache_page of Django", partial(_answer, theirs)
    yield compared(name, by_django, answer, calls=scale.calls, rounds=scale.rounds, budget=1.1)


def _answer(view: Callable[[HttpRequest], Any], **headers: str) -> Any:
    return view(RequestFactory().get(PAGE, **headers))  # type: ignore[arg-type]


def _blocks(scale: Scale) -> Row:
    tags = {"cache_invalidation": "cache_invalidation.templatetags.cache_invalidation"}
    engine = Engine(libraries={"cache": "django.templatetags.cache", **tags})
    product = Product(pk=1, name="boot")
    ours, theirs = (
        partial(engine.from_string(source).render, Context({"product": product}))
        for source in (
            BLOCK.format(library="cache_invalidation", tag="cached", name="item", text=TEXT),
            BLOCK.format(library="cache", tag="cache", name="item", text=TEXT),
        )
    )
    name = "block: 2 kB, to {% cache %}"
    return compared(name, theirs, ours, calls=scale.calls, rounds=scale.rounds, budget=1.2)
