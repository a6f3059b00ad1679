"""Which view a response is of, and what the view was given: that is part of the key, by value."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from rest_framework.request import Request
from rest_framework.views import APIView

from cache_invalidation.reads.spelling import full_name
from cache_invalidation.surfaces.inputs.changes import Changes
from cache_invalidation.surfaces.pages.identity import identity, is_own_method, told

# What the view and its mixins leave on the view for themselves, and nobody looks at later; and
# those that are looked at otherwise.
_OF_THE_FRAMEWORK: Final = frozenset({"_paginator", "_negotiator", "headers"})


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
    return [told(item, None) for item in sorted(held.items())]


class Left:
    """What is on a view before it is called, to be compared with what is there later."""

    def __init__(self, view: APIView) -> None:
        self._view = view
        self._headers = dict(view.headers)
        self._held: dict[str, Any] = {}
        self._changes = Changes()
        if _is_seen_later(type(view)):
            self._held = dict(vars(view))
            self._changes.pass_by(view, view.request)
            for name in self._held.keys() - _OF_THE_FRAMEWORK:
                self._changes.watch(self._held[name])

    def changed(self) -> str:
        """Return what was done to the view, if anybody will see that; else nothing."""
        if self._headers != dict(self._view.headers):
            return "it sets self.headers"
        if not _is_seen_later(type(self._view)):
            return ""
        now = vars(self._view)
        names = sorted((self._held.keys() | now.keys()) - _OF_THE_FRAMEWORK)
        for name in names:
            if self._held.get(name) is not now.get(name):
                return f"it sets self.{name}"
        return "it changes what is in something on self" if self._changes.any() else ""


def _is_seen_later(kind: type[APIView]) -> bool:
    """Whether a class has code of its own that sees the view when its method has been called."""
    return (
        kind.finalize_response is not APIView.finalize_response
        or kind.dispatch is not APIView.dispatch
    )


def view_of(request: Request) -> APIView | None:
    """Return the view that a request of REST framework is for."""
    found = request.parser_context.get("view")
    return found if isinstance(found, APIView) else None
