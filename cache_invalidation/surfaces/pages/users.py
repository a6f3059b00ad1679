"""A user of whom a page may know no more than what it was made for."""

from collections.abc import Callable
from functools import cache
from inspect import getattr_static
from types import FunctionType
from typing import Any, Final

from django.utils.functional import LazyObject

from cache_invalidation.reads.dependencies import apart
from cache_invalidation.surfaces.inputs.inputs import Inputs
from cache_invalidation.surfaces.pages.swapping import aside, is_aside

_KEY: Final = "_cache_invalidation_told"
_ORIGINAL: Final = "_cache_invalidation_original"

# What is the same for all users of a class, or is asked for before anybody asks for something.
_SAYS_NOTHING: Final = frozenset({"_meta", "_state", "__class__", _KEY, _ORIGINAL})
_ASKED_OF_THE_CLASS: Final = ("__str__", "__repr__", "__eq__", "__hash__")


def stands_for(user: Any) -> Any:
    """Return the user whom one stands for that is lazy."""
    while isinstance(user, LazyObject):
        bool(user.__class__)  # Has it find out.
        user = user._wrapped
    return user


def reading_no_more_than(
    of_user: Callable[[Any], Any], user: Any, inputs: Inputs, look: Callable[[str], None]
) -> Any:
    """Return `user` as one that refuses to be stored what reads other attributes than `of_user`.

    Those that `of_user` has read may say more than it has made of them, such as whether an address
    is one of the company. So `look` is called with the name of each that is read, to take note of
    its value. Of methods it is what they read that counts. What is set is set on `user` as well.
    """
    user = stands_for(user)
    if user is None:
        return None
    if not hasattr(user, "__dict__"):
        inputs.refuse("user", "what is read of this user cannot be seen")
        return user
    known: set[str] = set()
    with apart():
        of_user(_telling(user, known.add))

    def told(name: str) -> bool:
        if name not in known:
            inputs.refuse("user", f"it reads user.{name}, which vary_on does not look at")
        elif name in vars(user) or not _is_method(getattr_static(type(user), name, None)):
            look(name)
            return True
        return False

    return _telling(user, told, user)


def _is_method(found: object) -> bool:
    return isinstance(found, FunctionType | classmethod | staticmethod)


def _telling(user: Any, told: Callable[[str], bool | None], original: Any = None) -> Any:
    """Return a copy of `user` that tells which of its values are read.

    `told` returns whether that says it all, whatever else the value is made of. What is set is set
    on the `original`, too.
    """
    kind: Any = type(user)
    made = object.__new__(_telling_kind(kind))
    held = object.__getattribute__(made, "__dict__")
    held.update(vars(user))
    held.update({_KEY: told, _ORIGINAL: original})
    return made


@cache
def _telling_kind(kind: Any) -> Any:
    """Return the subclass of `kind` whose instances tell."""

    def get(self: Any, name: str) -> Any:
        held = object.__getattribute__(self, "__dict__")
        told = held[_KEY]
        if name not in _SAYS_NOTHING and not is_aside(told) and told(name):
            with aside(told):
                return object.__getattribute__(self, name)
        return object.__getattribute__(self, name)

    def put(self: Any, name: str, value: Any) -> None:
        kind.__setattr__(self, name, value)
        original = object.__getattribute__(self, "__dict__")[_ORIGINAL]
        if original is not None:
            setattr(original, name, value)

    def drop(self: Any, name: str) -> None:
        kind.__delattr__(self, name)
        original = object.__getattribute__(self, "__dict__")[_ORIGINAL]
        if original is not None:
            delattr(original, name)

    metaclass: Any = type(kind)
    made: Any = {name: _told(name, getattr(kind, name)) for name in _ASKED_OF_THE_CLASS}
    # Not by calling the metaclass: a subclass of a model would be a model of its own.
    made |= {"__getattribute__": get, "__setattr__": put, "__delattr__": drop}
    return vars(type)["__new__"](metaclass, kind.__name__, (kind,), made)


def _told(name: str, original: Any) -> Any:
    def method(self: Any, *args: Any) -> Any:
        told = object.__getattribute__(self, "__dict__")[_KEY]
        if not is_aside(told):
            told(name)
        return original(self, *args)

    return method
