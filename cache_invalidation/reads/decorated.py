"""What is decorated with `cached`: what it is called, what it takes, and what cannot be cached.

`functools.wraps` gives a function the name, the signature and the attributes of another one. Two
functions with one name would share their entries, and a call that is spelled with the parameters of
another function could get the key of another call.
"""

import functools
import inspect
import sys
from collections.abc import Iterator
from datetime import timedelta
from inspect import Parameter, Signature
from types import FunctionType
from typing import Any, Final

from asgiref.sync import iscoroutinefunction
from django.db.models import Model, QuerySet
from django.db.models.manager import BaseManager

_HANDED_ON: Final = [Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD]
_LEAVE_OUT: Final = "leave it out, as in @cached(); what the function reads is found out"
_OPTIONS: Final = (str, bytes, bool, list, tuple, set, frozenset, dict, Model)


def check(function: Any) -> None:
    """Raise `TypeError`, with the cure, for what cannot be cached."""
    if cure := _cure_for(function):
        raise TypeError(f"cached() decorates functions, not {_shown(function)}: {cure}.")


def _cure_for(function: Any) -> str | None:
    if isinstance(function, _OPTIONS):
        return "tags go to tags=, a name to name=, as in @cached(tags=[…])"
    if isinstance(function, int | float | timedelta):
        return f"write @cached(timeout={function!r})"
    if isinstance(function, type):
        if issubclass(function, Model):
            return f"write @cached(tags=[{function.__name__}])"
        return "decorate its methods, or a function that makes one"
    if isinstance(function, staticmethod) or (
        not callable(function) and hasattr(type(function), "__get__")
    ):
        return f"put @cached() below {type(function).__name__}, next to the function itself"
    if not callable(function):
        is_read = isinstance(function, QuerySet | BaseManager)
        return _LEAVE_OUT if is_read else "it cannot be called"
    if any(hasattr(each, "cache_info") for each in unwrapped(function)):
        return "it keeps values by itself, which nobody drops; leave lru_cache() or cache() out"
    call = _code_of(function)
    if inspect.isgeneratorfunction(call):
        return "what it yields can be read only once; return a list"
    if inspect.isasyncgenfunction(call):
        return "what it yields can be read only once; make it a coroutine that returns a list"
    return None


def _shown(function: Any) -> str:
    if isinstance(function, QuerySet):
        return f"a queryset of {function.model.__name__}"  # Showing it would execute it.
    if isinstance(function, type | FunctionType):
        return f"{function.__module__}.{function.__qualname__}()"
    return repr(function)


def _code_of(function: Any) -> Any:
    """Return what is executed when `function` is called, as `inspect` wants to have it."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if inspect.isroutine(function) else type(function).__call__


def is_coroutine_function(function: Any) -> bool:
    """Whether what `function` returns has to be awaited."""
    return iscoroutinefunction(function) or iscoroutinefunction(_code_of(function))


def name_of(function: Any) -> str:
    """Return the name that tells `function` from all others, in every process.

    Raises `TypeError` if it has none.
    """
    qualname: str = getattr(function, "__qualname__", "")
    module = getattr(function, "__module__", None)
    # The module of a method of a built-in type is None, whatever object it is a method of.
    is_made = isinstance(function, functools.partial) or not qualname or not module
    if is_made or qualname.rpartition(".")[2] == "<lambda>":
        what = f"A {type(function).__name__}" if is_made else "A lambda"
        raise TypeError(
            f"{what} has no name to tell it from others by; pass name=. Where method_decorator() "
            "has made it, cache a function that the method calls."
        )
    name, code = f"{module}.{qualname}", getattr(function, "__code__", None)
    if code is not None and hasattr(function, "__wrapped__"):
        name = _own_name(function, name)
    taken = set(_names_inside(function))
    while name in taken:
        name = f"{name}/{getattr(code, 'co_qualname', 'cached')}"
    return name


def _own_name(function: FunctionType, given: str) -> str:
    """Return the name of a function that wraps another one and has been given its name.

    The inner function of a decorator goes by what it wraps. One that stands for itself, in a module
    or beside what it wraps, has a name of its own.
    """
    own, module = function.__code__.co_qualname, function.__globals__.get("__name__", "")
    is_of_module = getattr(sys.modules.get(module), "__dict__", None) is function.__globals__
    name = f"{module}.{own}"
    is_beside = name.rpartition(".")[0] == given.rpartition(".")[0]
    return name if is_beside or (is_of_module and "<locals>" not in own) else given


def _names_inside(function: Any) -> Iterator[str]:
    """Yield the names of the cached functions that `function` is, or wraps."""
    for each in unwrapped(function):
        if (signature := getattr(each, "signature", None)) is not None:
            yield getattr(signature, "name", "")


def unwrapped(function: Any) -> list[Any]:
    """Return `function`, what it wraps, what that wraps, and so on."""
    found = [function]
    while (inner := getattr(found[-1], "__wrapped__", None)) is not None:
        if any(inner is each for each in found):
            break
        found.append(inner)
    return found


def signatures_of(function: Any) -> tuple[Signature, Signature]:
    """Return the parameters that calls of `function` are told apart by, and its own.

    They are those of what it wraps only if it hands on whatever it gets.
    """
    *around, innermost = unwrapped(function)
    own = found = _own_signature(innermost)
    for each in reversed(around):
        own = _own_signature(each)
        found = found if _hands_on(own, found) else own
    return found, own


def _own_signature(function: Any) -> Signature:
    wrapped = getattr(function, "__wrapped__", None)
    signature = getattr(function, "__signature__", None)
    is_copied = signature is not None and signature is getattr(wrapped, "__signature__", None)
    if is_copied and isinstance(function, FunctionType):
        function = _without_attributes(function)
    try:
        return inspect.signature(function, follow_wrapped=False)
    except ValueError:
        pass
    try:
        return inspect.signature(function)
    except ValueError:
        raise TypeError(
            f"{_shown(function)} does not say what it takes; wrap it in a function."
        ) from None


def _without_attributes(function: FunctionType) -> FunctionType:
    code, scope, name = function.__code__, function.__globals__, function.__name__
    bare = FunctionType(code, scope, name, function.__defaults__, function.__closure__)
    bare.__kwdefaults__ = function.__kwdefaults__
    return bare


def _hands_on(outer: Signature, inner: Signature) -> bool:
    mine, theirs = list(outer.parameters.values()), list(inner.parameters.values())
    handed_on = [each for each in mine if each.kind in _HANDED_ON]
    named = mine[: len(mine) - len(handed_on)]
    return (
        bool(handed_on)
        and mine == named + handed_on
        and len(named) <= len(theirs)
        and all(map(_is_same, named, theirs))
    )


def _is_same(one: Any, other: Any) -> bool:
    defaults = one.default, other.default
    is_default_same = defaults[0] is defaults[1] or (
        type(defaults[0]) is type(defaults[1]) and bool(defaults[0] == defaults[1])
    )
    return is_default_same and (one.name, one.kind) == (other.name, other.kind)
