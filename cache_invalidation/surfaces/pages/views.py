"""Which view a page is of: two that do not do the same must not share a page."""

import sys
from collections.abc import Callable
from functools import partial
from inspect import unwrap
from types import CodeType, FunctionType, MethodType
from typing import Any, Final

from django.views import View

from cache_invalidation.reads.spelling import dotted_name, full_name, is_found_by_name
from cache_invalidation.surfaces.inputs.portraits import Opaque, portray

DEEPEST: Final = 20  # functions around one another


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


def identity(view: Any, request: Any, depth: int = DEEPEST) -> str:
    """Return text that is the same for views that do the same, as far as they were told what to do.

    Raises `Opaque` for a view that carries what nobody can tell.
    """
    if depth == 0:
        raise Opaque("the view is wrapped too often")
    if isinstance(view, partial):
        inner = identity(view.func, request, depth - 1)
        given = [_told(value, request, depth) for value in (*view.args, *view.keywords.values())]
        return f"{inner}({','.join(given)};{','.join(view.keywords)})"
    if isinstance(view, MethodType):
        return (
            f"{_of_instance(view.__self__, request)}.{identity(view.__func__, request, depth - 1)}"
        )
    if isinstance(view, FunctionType):
        return _of_function(view, request, depth)
    return _of_class(view) if isinstance(view, type) else portray(view)


def _of_function(view: FunctionType, request: Any, depth: int) -> str:
    try:
        cells = [cell.cell_contents for cell in view.__closure__ or ()]
    except ValueError:
        raise Opaque(f"nothing was assigned yet to a name that {view.__qualname__} uses") from None
    told = [*cells, *(view.__defaults__ or ()), *(view.__kwdefaults__ or {}).values()]
    around = ",".join([_told(value, request, depth) for value in told])
    is_named = "<" not in view.__qualname__
    code = "" if is_named else _of_code(view.__code__)
    return f"{full_name(view)}{code}({around})"


def _told(value: Any, request: Any, depth: int) -> str:
    if callable(value) and isinstance(value, FunctionType | MethodType | partial | type):
        return identity(value, request, depth - 1)
    return portray(value)


def _of_code(code: CodeType) -> str:
    inner = [
        _of_code(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts
    ]
    return f"<{code.co_code.hex()}:{','.join(code.co_names)}:{','.join(inner)}>"


def _of_class(kind: type) -> str:
    # One that was made in a function shares its name with others; its address is not for long.
    name = full_name(kind)
    return name if is_found_by_name(kind) else f"{name}@{id(kind)}"


def is_own_method(value: Any, instance: Any) -> bool:
    """Whether a value is a method of the instance that has it, such as ``head`` of Django's."""
    return isinstance(value, MethodType) and value.__self__ is instance


def _of_instance(instance: Any, request: Any) -> str:
    """Return what an instance of a class-based view was given, but for the request itself."""
    if isinstance(instance, type):
        return _of_class(instance)
    given = {
        name: value
        for name, value in vars(instance).items()
        if value is not request and not is_own_method(value, instance)
    }
    return f"{_of_class(type(instance))}{portray(given)}"
