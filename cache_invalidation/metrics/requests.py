"""Which request is being answered: said with what it has invalidated."""

from contextvars import ContextVar
from typing import Any, Final

from django.core.signals import request_finished, request_started
from django.urls import get_resolver

#: The route of what is at no path of the project's URLs.
UNKNOWN: Final = "?"

_path: ContextVar[str | None] = ContextVar("cache_invalidation_path", default=None)


def install() -> None:
    """Take note of each request. May be called again."""
    request_started.connect(_begin, dispatch_uid="cache_invalidation.requests")
    request_finished.connect(_end, dispatch_uid="cache_invalidation.requests")


def _begin(
    environ: dict[str, Any] | None = None, scope: dict[str, Any] | None = None, **kwargs: Any
) -> None:
    found = (environ or {}).get("PATH_INFO") or (scope or {}).get("path")
    _path.set(str(found)[:250] if found else None)


def _end(**kwargs: Any) -> None:
    _path.set(None)


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
