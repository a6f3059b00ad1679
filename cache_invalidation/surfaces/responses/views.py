"""Which view a response is of, and what the view was given: that is part of the key, by value."""

from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from rest_framework.request import Request
from rest_framework.views import APIView

from cache_invalidation.reads.spelling import full_name
from cache_invalidation.surfaces.inputs.portraits import portray
from cache_invalidation.surfaces.pages.views import identity, is_own_method


@dataclass(frozen=True, slots=True)
class Called:
    """What makes the response: a method of a view, or the function below `api_view`."""

    view: APIView
    function: Callable[..., Any]
    is_method: bool

    @property
    def name(self) -> str:
        """What it is called in tags and metrics."""
        if self.is_method:
            return f"{full_name(type(self.view))}.{self.function.__name__}"
        return full_name(self.function)

    def about(self) -> tuple[Any, ...]:
        """Return what tells it from all others, and what the view was given.

        Raises `Opaque` for what cannot be told.
        """
        kind = type(self.view) if self.is_method else self.function
        return identity(kind, None), self.function.__qualname__, _given(self.view)


def _given(view: APIView) -> list[str]:
    # The request records what is looked at of it. Methods, such as those that `as_view` binds to
    # ``get`` and ``head``, are told by their names, as they belong to the class.
    held = {
        name: value
        for name, value in vars(view).items()
        if name != "request" and not is_own_method(value, view)
    }
    return [_told(item) for item in sorted(held.items())]


def left_on(view: APIView) -> dict[str, Any]:
    """Return what is on `view` now, to be compared with what is there later."""
    return {**vars(view), "headers": dict(view.headers)}


def view_of(request: Request) -> APIView | None:
    """Return the view that a request of REST framework is for."""
    found = request.parser_context.get("view")
    return found if isinstance(found, APIView) else None


def _told(value: Any) -> str:
    """Return the portrait of what a view may have been given, classes and functions among it."""
    if isinstance(value, type | FunctionType):
        return identity(value, None)
    if type(value) in (list, tuple):
        return f"({','.join([_told(item) for item in value])})"
    return portray(value)
