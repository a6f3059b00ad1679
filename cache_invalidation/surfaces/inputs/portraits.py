"""What a value is, as text: alike for two values that nobody can tell apart, and not otherwise.

A key of a cached function names an instance by its primary key, because `invalidate(instance)` has
to find it. Here it is everything that the instance carries, because whatever of it is rendered was
read before anybody took note.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from itertools import chain
from types import FunctionType
from typing import Any, Final
from uuid import UUID

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db.models import Manager, Model, QuerySet
from django.db.models.fields.files import FieldFile
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict
from django.utils.functional import LazyObject, Promise
from django.utils.safestring import SafeString

from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.reads.dependencies import apart
from cache_invalidation.reads.spelling import (
    PLAIN,
    full_name,
    is_found_by_name,
    made_by,
    named,
    spell,
)

#: So many values in one another make up a portrait at most; what is larger costs more than a miss.
LARGEST: Final = 20_000


class Opaque(CacheInvalidationError):
    """A value of which nobody can tell whether another one is the same; the text says why.

    `reason` is a short name for that, as it is counted.
    """

    reason = "opaque"


class _Plain:
    """A class that keeps everything in its ``__dict__``, to compare others with."""


def portray(value: Any, but: object = None) -> str:
    """Return text that is the same for values that are the same in all that can be seen of them.

    Queries that are needed to find out what a lazy value stands for are nobody's dependencies.
    `but` may be in it and is not shown, because it takes note itself of what is looked at.

    Raises `Opaque` for a value that may keep something where it cannot be seen.
    """
    if (plain := _PLAIN.get(type(value))) is not None:
        return plain(value)
    try:
        with apart():
            return _Painter(but).portray(value)
    except RecursionError:
        raise Opaque("it holds values in values too deep to be followed") from None


class _Painter:
    """One portrait: how large it has become, and what it shows already."""

    def __init__(self, but: object) -> None:
        self._size = 0
        self._but = but
        # By identity, with the value, so that it lives on and nothing else gets its address.
        self._seen: dict[int, tuple[int, Any]] = {}

    def portray(self, value: Any) -> str:
        self._grow(1)
        kind: type = type(value)
        if (plain := _PLAIN.get(kind)) is not None:
            return plain(value)
        if value is self._but:
            return "#"
        paint = _painter_of(kind)
        if paint is None:
            return self._spelled(value)
        if paint in _STANDS_FOR_ANOTHER:
            return paint(self, value)
        if (known := self._seen.get(id(value))) is not None:
            return f"#{known[0]}"  # It is in itself, or twice in something.
        self._seen[id(value)] = len(self._seen), value
        return f"{full_name(kind)}{paint(self, value)}"

    def _grow(self, number: int) -> None:
        self._size += number
        if self._size > LARGEST:
            raise Opaque(f"it holds more than {LARGEST:,} values")

    def _spelled(self, value: Any) -> str:
        kind = type(value)
        try:
            for base in (tuple, frozenset):
                if issubclass(kind, base):
                    return named(value, base) + _KINDS[base](self, value)
            return spell(value)
        except TypeError:
            called = getattr(value, "__qualname__", "") if callable(value) else ""
            raise Opaque(f"a {full_name(kind)} {called}".rstrip() + " may carry anything") from None

    def all(self, values: Iterable[Any]) -> str:
        return f"({','.join(self._each(values))})"

    def items(self, values: Iterable[tuple[Any, Any]]) -> str:
        return f"{{{','.join(self._each(chain.from_iterable(values)))}}}"

    def _each(self, values: Iterable[Any]) -> list[str]:
        # Most of what there is is plain, and a call for each of it would take most of the time.
        listed = list(values)
        self._grow(len(listed))
        return [
            self.portray(value) if (plain := _PLAIN.get(type(value))) is None else plain(value)
            for value in listed
        ]

    def _set(self, values: Any) -> str:
        return f"({','.join(sorted(self.portray(value) for value in values))})"

    def _mapping(self, value: Mapping[Any, Any]) -> str:
        return self.items(value.items())

    def _lists(self, value: MultiValueDict[Any, Any]) -> str:
        return self.items(value.lists())

    def _lazy(self, value: Any) -> str:
        bool(value.__class__)  # Has it find out what it stands for.
        return self.portray(value._wrapped)

    def _promise(self, value: Promise) -> str:
        """Show what it says now, and how it is made: in another language it says something else."""
        try:
            function, args, kwargs = made_by(value)
        except TypeError as error:
            raise Opaque(str(error)) from None
        name = getattr(function, "__qualname__", "<nameless>")
        if not isinstance(function, FunctionType | type) or "<" in name:
            raise Opaque(f"what is lazy is made by {name}, which may carry anything")
        name = f"{function.__module__}.{name}"
        return self.all([function(*args, **kwargs), name, tuple(args), dict(kwargs)])

    def _object(self, value: Any) -> str:
        if not is_found_by_name(type(value)):
            raise Opaque(f"{full_name(type(value))} is no class that can be found by its name")
        return self.items(vars(value).items())

    def _row(self, value: Model) -> str:
        state, model = value._state, type(value)
        if not is_found_by_name(model) or not shows_everything(model):
            raise Opaque(f"{full_name(model)} may keep something out of sight")
        related = dict(state.fields_cache) or None  # Which it is for most, and soon portrayed.
        carried = dict(vars(value))
        del carried["_state"]
        items = chain.from_iterable(carried.items())
        return self.all([state.db, state.adding, related, *items])

    def _file(self, value: FieldFile) -> str:
        if getattr(value, "_file", None) is not None:
            raise Opaque("it is an open file")
        # Where it is kept is a matter of the field.
        carried = {k: v for k, v in vars(value).items() if k not in ("field", "storage")}
        return self.all([str(value.field), carried])

    def _query(self, value: QuerySet[Any]) -> str:
        """Show the query, and the rows that were fetched; those that were not are dependencies."""
        parts = dict(vars(value))
        model = full_name(parts.pop("model"))  # A proxy has the same SQL.
        known = parts.pop("_known_related_objects").items()
        # Hints are for the router, which has been asked.
        for name in ("_query", "_hints", "_deferred_filter"):
            parts.pop(name, None)
        # How rows fetch what they lack, which Django has since 6.1.
        mode = full_name(type(parts.pop("_fetch_mode", None)))
        iterable = full_name(parts.pop("_iterable_class"))
        related = {str(field): rows for field, rows in known}
        # With the SQL even if there are rows, since a template can ask it for more.
        return iterable + self.all([model, value.db, _sql(value), related, mode, parts])


@lru_cache(maxsize=1000)
def _painter_of(kind: type) -> Callable[[_Painter, Any], str] | None:
    if kind in _KINDS:
        return _KINDS[kind]
    for base, paint in _BASES.items():
        if issubclass(kind, base):
            return paint
    # A member of an enumeration is known by its name.
    shown = shows_everything(kind) and not issubclass(kind, Enum)
    return _Painter._object if shown else None


@lru_cache(maxsize=1000)
def shows_everything(kind: type) -> bool:
    """Whether what an instance carries is all in its ``__dict__``."""
    return (
        kind.__basicsize__ == _Plain.__basicsize__
        and kind.__dictoffset__ == _Plain.__dictoffset__
        and not any(map(_slots, kind.__mro__))
    )


def _slots(kind: type) -> tuple[str, ...]:
    found = vars(kind).get("__slots__", ())
    slots = (found,) if isinstance(found, str) else tuple(found)
    return tuple(slot for slot in slots if slot not in ("__dict__", "__weakref__"))


def _refuse_manager(painter: _Painter, value: Any) -> str:
    raise Opaque("a manager stands for rows that nobody has asked for; pass a queryset")


def _sql(value: QuerySet[Any]) -> Any:
    with suppress(EmptyResultSet, FullResultSet):
        return value.query.get_compiler(value.db).as_sql()
    return None


#: What says all there is to say in its `repr`; Python refuses to write down large numbers.
_PLAIN: Final[Mapping[type, Callable[[Any], str]]] = {
    **dict.fromkeys((*PLAIN, Decimal, UUID, date, timedelta), repr),
    int: hex,
}

_KINDS: Final[Mapping[type, Callable[[_Painter, Any], str]]] = {
    tuple: _Painter.all,
    list: _Painter.all,
    set: _Painter._set,
    frozenset: _Painter._set,
    dict: _Painter._mapping,
    OrderedDict: _Painter._mapping,
    MultiValueDict: _Painter._lists,
    QueryDict: _Painter._lists,
    range: lambda painter, value: repr(value),
    complex: lambda painter, value: repr(value),
    bytearray: lambda painter, value: repr(bytes(value)),
    SafeString: lambda painter, value: str.__repr__(value),
}

_STANDS_FOR_ANOTHER: Final = (_Painter._lazy,)

_BASES: Final[Mapping[type, Callable[[_Painter, Any], str]]] = {
    LazyObject: _Painter._lazy,
    Promise: _Painter._promise,
    Manager: _refuse_manager,
    QuerySet: _Painter._query,
    Model: _Painter._row,
    FieldFile: _Painter._file,
}
