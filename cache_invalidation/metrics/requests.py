"""Which request is being answered: said with what it has invalidated."""

from contextvars import ContextVar
from typing import Any

from django.core.signals import request_finished, request_started

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


def current_path() -> str | None:
    """Return the path of the request that this thread or task answers, if any."""
    return _path.get()
