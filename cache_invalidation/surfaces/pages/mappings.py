"""Mappings of a request that tell which of their items are looked at.

They are the dictionaries that they stand for, with the same items. What is asked for by name is
told by its name; whatever else is done with one looks at all of it.
"""

import sys
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any, Final

from django.http import QueryDict
from django.http.request import HttpHeaders

#: Called with the name of an item, or None for all of them.
Told = Callable[[str | None], None]

_BY_NAME: Final = ("__getitem__", "__contains__", "get", "getlist", "pop", "setdefault")
_AS_A_WHOLE: Final = (
    *("__iter__", "__reversed__", "__len__", "__eq__", "__ne__", "__repr__", "__str__"),
    *("__or__", "__ror__", "__copy__", "__deepcopy__", "__format__", "__sizeof__"),
    *("keys", "values", "items", "lists", "dict", "copy", "urlencode", "popitem", "clear"),
)
_CHANGES: Final = (
    *("__setitem__", "__delitem__", "pop", "setdefault", "update", "popitem", "clear", "__ior__"),
    *("appendlist", "setlist", "setlistdefault"),
)


def _by_name(name: str, base: type) -> Any:
    original = getattr(base, name)

    def method(self: Any, key: Any, *args: Any, **kwargs: Any) -> Any:
        self.told(key if type(key) is str else None)
        return original(self, key, *args, **kwargs)

    return method


def _as_a_whole(name: str, base: type) -> Any:
    original = getattr(base, name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.told(None)
        return original(self, *args, **kwargs)

    return method


def _changing(name: str, base: type) -> Any:
    """Make a method change the dictionary that this one stands for as well."""
    original = getattr(base, name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.changed(args[0] if args and type(args[0]) is str else None)
        if self.original is not None:
            if base is QueryDict:
                self.original._mutable = self._mutable
            getattr(self.original, name)(*args, **kwargs)
        return original(self, *args, **kwargs)

    return method


def telling(base: type) -> type:
    """Return a subclass of the dictionary `base` whose instances tell what is looked at."""
    made: dict[str, Any] = {}
    for names, make in ((_BY_NAME, _by_name), (_AS_A_WHOLE, _as_a_whole), (_CHANGES, _changing)):
        made |= {name: make(name, base) for name in names if hasattr(base, name)}
    if "__bool__" not in made:
        made["__bool__"] = _is_filled
    if base is QueryDict:
        made |= {"keys": _keys, "__getitem__": _item, "merging": None}
    # Nobody wants to know while it is filled, nor of a copy.
    untold = staticmethod(lambda name: None)
    made |= {
        "asked": lambda self: self.told(None),
        "told": untold,
        "changed": untold,
        "original": None,
        "__reduce_ex__": _reduce,
    }
    return type(base.__name__, (base,), made)


def _keys(self: Any) -> Any:
    self.told(None)
    self.merging = _instruction()
    return QueryDict.keys(self)


def _item(self: Any, key: Any) -> Any:
    self.told(key if type(key) is str else None)
    if self.merging is not None and self.merging == _instruction():
        return dict.__getitem__(self, key)
    return QueryDict.__getitem__(self, key)


def _instruction() -> tuple[int, CodeType, int]:
    """Return which instruction of which frame has called the method that asks.

    One that asks for the keys and the items at once, such as ``dict(request.GET)``, looks into the
    dictionary of Django without asking it, and gets the lists that are in it.
    """
    frame = sys._getframe(2)
    return id(frame), frame.f_code, frame.f_lasti


def _is_filled(self: Any) -> bool:
    self.asked()
    return dict.__len__(self) > 0


def _reduce(self: Any, protocol: Any) -> Any:
    """Pickle it as what it stands for."""
    self.told(None)
    if isinstance(self, QueryDict):
        return QueryDict, (self.urlencode(), self._mutable, self.encoding)
    return dict, (dict(self),)


TellingDict: Final[Any] = telling(dict)
TellingQuery: Final[Any] = telling(QueryDict)


def telling_dict(original: dict[str, Any], told: Told, changed: Told) -> dict[str, Any]:
    """Return a dictionary with the items of `original`, to which changes are made as well."""
    made = TellingDict()
    dict.update(made, original)
    made.original, made.told, made.changed = original, told, changed
    found: dict[str, Any] = made
    return found


def telling_query(
    original: QueryDict, told: Told, asked: Callable[[], None], changed: Told
) -> QueryDict:
    """Return a `QueryDict` with the parameters of `original`, to which changes are made as well.

    `asked` is called when somebody only asks whether there are any.
    """
    made = TellingQuery("", mutable=True, encoding=original.encoding)
    for name, values in original.lists():
        QueryDict.setlist(made, name, values)
    made._mutable, made.told, made.asked = original._mutable, told, asked
    made.original, made.changed = original, changed
    found: QueryDict = made
    return found


class TellingHeaders(HttpHeaders):
    """The headers of a request that tell which of them are looked at."""

    def __init__(self, environ: dict[str, Any], told: Told) -> None:
        super().__init__(environ)
        self._told = told

    def __getitem__(self, key: str) -> str:
        self._told(self.to_wsgi_name(key))
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[str]:
        self._told(None)
        return super().__iter__()

    def __len__(self) -> int:
        self._told(None)
        return super().__len__()

    def __repr__(self) -> str:
        self._told(None)
        return super().__repr__()
