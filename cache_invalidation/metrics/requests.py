"""Which request is being answered: said with what it has invalidated."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final

from django.core.handlers.base import BaseHandler
from django.http import HttpRequest
from django.urls import get_resolver

from cache_invalidation.context import during
from cache_invalidation.wrapping import wrap

#: The route of what is at no path of the project's URLs.
UNKNOWN: Final = "?"

LONGEST: Final = 250  # characters of a path

_path: ContextVar[str | None] = ContextVar("cache_invalidation_path", default=None)


def install() -> None:
    """Take note of each request. May be called again.

    Not by signals: under ASGI, what their receivers set is not set where the request is answered.
    """
    wrap(BaseHandler, "get_response", _answer)
    wrap(BaseHandler, "get_response_async", _aanswer)


def _answer(method: Callable[..., Any], handler: Any, request: HttpRequest) -> Any:
    with during(_path, request.path_info[:LONGEST]):
        return method(handler, request)


async def _aanswer(
    method: Callable[..., Awaitable[Any]], handler: Any, request: HttpRequest
) -> Any:
    with during(_path, request.path_info[:LONGEST]):
        return await method(handler, request)


def route_of(path: str | None) -> str:
    """Return the route of the view at `path`, such as ``products/<int:pk>/``; "" for none.

    There are as many of them as a project has written, unlike paths.
    """
    if path is None:
        return ""
    try:
        return str(get_resolver().resolve(path).route)
    except Exception:  # noqa: BLE001 - it may have had an URLconf of its own
        return UNKNOWN


def current_path() -> str | None:
    """Return the path of the request that this thread or task answers, if any."""
    return _path.get()
