"""Which view a page is of: two that do not do the same must not share a page."""

import sys
from collections.abc import Callable
from functools import partial
from inspect import unwrap
from types import MethodType
from typing import Any, Final

from django.views import View

from cache_invalidation.reads.spelling import dotted_name, full_name

#: On what is decorated: for the system check that looks for the middleware, among others.
NEEDS_MIDDLEWARE: Final = "_cache_invalidation_needs_middleware"


def name_of(view: Callable[..., Any]) -> str:
    """Return the name of a view, as it stands in tags and metrics.

    A view that is a class gives its name, whichever of its methods makes the page.
    """
    found = getattr(view, "view_class", view)
    while isinstance(found, partial):
        found = found.func
    if isinstance(found, MethodType) and isinstance(found.__self__, View):
        found = type(found.__self__)
    return dotted_name(found)


def names_of(view: Callable[..., Any]) -> set[str]:
    """Return the names of all that can be cached of a view, however it is decorated.

    That is one for each method that makes a response if it is a view of REST framework.
    """
    view = unwrap(view, stop=lambda inner: hasattr(inner, "view_class") or hasattr(inner, "cls"))
    kind: Any = getattr(view, "cls", view)
    if not hasattr(kind, "initialize_request"):
        return {name_of(view)}
    if kind.__qualname__ == "WrappedAPIView":
        # Made by `api_view`, which sets no more than ``__name__`` to that of the function.
        return {f"{kind.__module__}.{kind.__name__}"}
    cached = [name for name in dir(kind) if hasattr(getattr(kind, name, None), NEEDS_MIDDLEWARE)]
    methods = {*cached, *getattr(kind, "cache_actions", ())}
    return {f"{full_name(kind)}.{method}" for method in methods}


def names_called(name: str) -> set[str]:
    """Return the names of all that can be cached of the view with the dotted name `name`.

    None, if no view that is loaded is called so. A method that makes a response counts, too.
    """
    owner, _, last = name.rpartition(".")
    holder: Any = sys.modules.get(owner)
    if holder is None:
        module, _, kind = owner.rpartition(".")
        holder = getattr(sys.modules.get(module), kind, None)
        return {name} & names_of(holder) if isinstance(holder, type) else set()
    view = getattr(holder, last, None)
    return names_of(view) if callable(view) else set()


def is_of_rest(view: Any) -> bool:
    """Whether `view` is one of REST framework, or a method of one: it has a decorator of its own.

    Around such a view, permissions and throttles would not be asked.
    """
    while isinstance(view, partial):
        view = view.func
    owner = getattr(view, "cls", None) or getattr(view, "__self__", None)
    return hasattr(owner, "initialize_request")
