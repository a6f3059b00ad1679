"""A user of whom a page may know no more than what it was made for."""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from cache_invalidation.reads.dependencies import apart
from cache_invalidation.surfaces.inputs.inputs import Inputs

_KEY: Final = "_cache_invalidation_told"

# What is the same for all users of a class, or is asked for before anybody asks for something.
_SAYS_NOTHING: Final = frozenset({"_meta", "_state", "__class__", _KEY})
_ASKED_OF_THE_CLASS: Final = ("__str__", "__repr__", "__eq__", "__hash__")


def reading_no_more_than(of_user: Callable[[Any], Any], user: Any, inputs: Inputs) -> Any:
    """Return `user` as one that refuses to be stored what reads other attributes than `of_user`."""
    user = getattr(user, "_wrapped", user) if hasattr(user, "_setup") else user
    known: set[str] = set()
    with apart():
        of_user(_telling(user, known.add))

    def told(name: str) -> None:
        if name not in known:
            inputs.refuse("user", f"it reads user.{name}, which vary_on does not look at")

    return _telling(user, told)


def _telling(user: Any, told: Callable[[str], None]) -> Any:
    """Return a copy of `user` that tells which of its values are read."""
    kind: Any = type(user)
    made = object.__new__(_telling_kind(kind))
    object.__getattribute__(made, "__dict__").update(vars(user))
    object.__getattribute__(made, "__dict__")[_KEY] = told
    return made


@cache
def _telling_kind(kind: Any) -> Any:
    """Return the subclass of `kind` whose instances tell."""

    def get(self: Any, name: str) -> Any:
        held = object.__getattribute__(self, "__dict__")
        if name not in _SAYS_NOTHING:
            held[_KEY](name)
        return object.__getattribute__(self, name)

    metaclass: Any = type(kind)
    made: Any = {name: _told(name, getattr(kind, name)) for name in _ASKED_OF_THE_CLASS}
    # Not by calling the metaclass: a subclass of a model would be a model of its own.
    made["__getattribute__"] = get
    return vars(type)["__new__"](metaclass, kind.__name__, (kind,), made)


def _told(name: str, original: Any) -> Any:
    def method(self: Any, *args: Any) -> Any:
        object.__getattribute__(self, "__dict__")[_KEY](name)
        return original(self, *args)

    return method
