"""The same read, cached by hand in the ways that projects do: under keys that are tracked.

Nothing in here knows of the app, but for what says that each read is a unit of work, as a request
is. `tracking` is a fixture; without it, nothing of this is invalidated.
"""

import json
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

import pytest
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.views.decorators.cache import cache_page

from cache_invalidation import unit_of_work

GET_OR_SET: Final = "get_or_set"
GET_AND_SET: Final = "get and set"
READ_BEFORE: Final = "get and set of what was read before"
DJANGOS_PAGE: Final = "cache_page of Django"
#: What can be in the place of a function, where keys are tracked.
TRACKED: Final = [GET_OR_SET, GET_AND_SET, READ_BEFORE, DJANGOS_PAGE]

#: What is tracked: the keys that are used here, and those of Django's `cache_page`.
GLOBS: Final = ["asked:*", "views.decorators.cache.*"]

Compute = Callable[..., Any]

_call: ContextVar[tuple[Compute, Callable[[], None], tuple[Any, ...]]] = ContextVar("_call")


def tracked(alias: dict[str, Any], **further: Any) -> dict[str, Any]:
    """Return the configuration of an alias of `django-redis`, with keys that are tracked."""
    options = {**alias.get("OPTIONS", {}), "TRACK": GLOBS, **further}
    backend = "cache_invalidation.backends.RedisCache"
    return {**alias, "BACKEND": backend, "OPTIONS": options}


@pytest.fixture
def tracking(settings: Any) -> None:
    """Have the keys tracked that are used here, in the cache of the app."""
    default = settings.CACHES["default"]
    settings.CACHES = settings.CACHES | {"default": tracked(default)}


def as_json(value: Any) -> Any:
    """Return `value` as it comes back when it was cached by hand."""
    return json.loads(_text(value))


def _text(value: Any) -> str:
    return json.dumps(value, default=str)


def asked_by_hand(kind: str, name: str, read: Compute, count: Callable[[], None]) -> Compute:
    """Return what returns what `read` returns, cached as one of `TRACKED`.

    `count` is called when something is computed from what was read.
    """
    ways = {
        GET_OR_SET: _get_or_set,
        GET_AND_SET: _get_and_set,
        READ_BEFORE: _read_before,
        DJANGOS_PAGE: _page,
    }
    way = ways[kind]

    def ask(*args: Any) -> Any:
        with unit_of_work():
            return way(key_of(name, *args), read, count, args)

    return ask


def key_of(name: str, *args: Any) -> str:
    """Return the key under which it is cached what was asked for by that name."""
    return ":".join(map(str, ["asked", name.replace(" ", "-"), *args]))


def _get_or_set(key: str, read: Compute, count: Callable[[], None], args: Any) -> Any:
    token = _call.set((read, count, args))
    try:
        found: Any = cache.get_or_set(key, _computed, 300)
    finally:
        _call.reset(token)
    return json.loads(found)


def _computed() -> str:
    """Return what this call reads; a function that carries nothing with it."""
    read, count, args = _call.get()
    count()
    return _text(read(*args))


def _get_and_set(key: str, read: Compute, count: Callable[[], None], args: Any) -> Any:
    found = cache.get(key)
    if found is None:
        count()
        found = _text(read(*args))
        cache.set(key, found, 300)
    return json.loads(found)


def _read_before(key: str, read: Compute, count: Callable[[], None], args: Any) -> Any:
    row = read(*args)
    found = cache.get(key)
    if found is None:
        count()
        found = _text(row)
        cache.set(key, found, 300)
    return json.loads(found)


def _page(key: str, read: Compute, count: Callable[[], None], args: Any) -> Any:
    @cache_page(300)
    def view(request: HttpRequest) -> HttpResponse:
        count()
        return HttpResponse(_text(read(*args)))

    return json.loads(view(RequestFactory().get(f"/{key}/")).content)
