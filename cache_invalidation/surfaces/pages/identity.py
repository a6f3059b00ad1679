"""What a view does, as text: the same for two only if they do the same."""

from collections.abc import Iterator
from enum import Enum
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any, Final
from uuid import uuid4
from weakref import WeakKeyDictionary

from django.db.models import Manager, Model, QuerySet
from django.http import HttpRequest
from django.utils.functional import LazyObject, Promise

from cache_invalidation.reads.spelling import found_by_name, full_name, is_found_by_name
from cache_invalidation.surfaces.inputs.portraits import Opaque, portray, shows_everything

DEEPEST: Final = 20  # functions around one another
MOST: Final = 30  # values with code in them; more of it is an application, and takes its time

_CODE: Final = FunctionType | MethodType | partial | type
# What is a matter of its portrait alone.
_PORTRAYED: Final = Model | QuerySet | Manager | Enum | LazyObject | Promise | HttpRequest

# Of classes that cannot be found by their names, such as those that are made in a function.
_tokens: WeakKeyDictionary[type, str] = WeakKeyDictionary()


def identity(view: Any, request: Any) -> str:
    """Return text that is the same for views that do the same, as far as they were told what to do.

    Raises `Opaque` for a view that carries what nobody can tell.
    """
    return _Teller(request).identity(view, DEEPEST)


def told(value: Any, request: Any) -> str:
    """Return text that is the same for values that are the same, as those that a view was given.

    Other than for a portrait, there may be functions and classes among them, or in them, such as
    the sitemaps or the form of a view: they are the code of the project.

    Raises `Opaque` for what nobody can tell.
    """
    return _Teller(request).told(value, DEEPEST)


def is_own_method(value: Any, instance: Any) -> bool:
    """Whether a value is a method of the instance that has it, such as ``head`` of Django's."""
    return isinstance(value, MethodType) and value.__self__ is instance


class _Teller:
    """One text, and what stands in it already; the request, if there is one, is left out of it."""

    def __init__(self, request: Any) -> None:
        self._request = object() if request is None else request
        self._seen: dict[int, int] = {}

    def identity(self, view: Any, depth: int) -> str:
        if depth == 0:
            raise Opaque("the view is wrapped too often")
        if isinstance(view, partial):
            inner = self.identity(view.func, depth - 1)
            given = [self.told(value, depth) for value in (*view.args, *view.keywords.values())]
            return f"{inner}({','.join(given)};{','.join(view.keywords)})"
        if isinstance(view, MethodType):
            owner = self._of_instance(view.__self__)
            return f"{owner}.{self.identity(view.__func__, depth - 1)}"
        if isinstance(view, FunctionType):
            return self._of_function(view, depth)
        return _of_class(view) if isinstance(view, type) else self.told(view, depth)

    def _of_function(self, view: FunctionType, depth: int) -> str:
        try:
            cells = [cell.cell_contents for cell in view.__closure__ or ()]
        except ValueError:
            name = view.__qualname__
            raise Opaque(f"nothing was assigned yet to a name that {name} uses") from None
        used = [*cells, *(view.__defaults__ or ()), *(view.__kwdefaults__ or {}).values()]
        around = ",".join([self.told(value, depth) for value in used])
        code = "" if _is_below_its_name(view) else _of_code(view.__code__)
        return f"{full_name(view)}{code}({around})"

    def _of_instance(self, instance: Any) -> str:
        """Return what an instance of a class-based view was given, but for the request itself."""
        if isinstance(instance, type):
            return _of_class(instance)
        given = {
            name: value
            for name, value in vars(instance).items()
            if value is not self._request and not is_own_method(value, instance)
        }
        return f"{_of_class(type(instance))}{portray(given)}"

    def told(self, value: Any, depth: int) -> str:
        if callable(value) and isinstance(value, _CODE):
            return self.identity(value, depth - 1)
        try:
            return portray(value)
        except Opaque:
            if depth == 0 or len(self._seen) == MOST or not _is_open(value):
                raise
        if id(value) in self._seen:
            return f"#{self._seen[id(value)]}"
        self._seen[id(value)] = len(self._seen)
        each = [
            f"{name}={self.told(held, depth - 1)}"
            for name, held in _items(value)
            if held is not self._request
        ]
        return f"{_of_class(type(value))}({','.join(each)})"


def _is_open(value: Any) -> bool:
    """Whether all that is in a value can be looked at, one by one."""
    kind: Any = type(value)
    if kind in (list, tuple, dict):
        return True
    return not isinstance(value, _PORTRAYED) and shows_everything(kind)


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """Iterate over what is in a value, with the names of where."""
    if isinstance(value, list | tuple):
        yield from (("", held) for held in value)
    elif isinstance(value, dict):
        yield from ((portray(key), held) for key, held in value.items())
    else:
        yield from vars(value).items()


def _is_below_its_name(view: FunctionType) -> bool:
    """Whether what has the name of `view` is that, or what was wrapped around it.

    Else it may be one of several that were wrapped around what has that name.
    """
    found: Any = found_by_name(view)
    for _ in range(DEEPEST):
        if found is view:
            return True
        found = getattr(found, "__wrapped__", None)
    return False


def _of_code(code: CodeType) -> str:
    inner = [_of_constant(each) for each in code.co_consts]
    return f"<{code.co_code.hex()}:{','.join(code.co_names)}:{','.join(inner)}>"


def _of_constant(value: Any) -> str:
    if isinstance(value, CodeType):
        return _of_code(value)
    if isinstance(value, frozenset):  # It is in another order in the next process.
        return ",".join(sorted(map(repr, value)))
    return repr(value)


def _of_class(kind: type) -> str:
    name = full_name(kind)
    if is_found_by_name(kind):
        return name
    # One that was made in a function shares its name with others, and soon its address.
    if kind not in _tokens:
        _tokens[kind] = uuid4().hex
    return f"{name}@{_tokens[kind]}"
