"""How values are spelled in keys: alike if they are equal and of one type, and not otherwise.

What is not in the list below has no spelling. A value of a subclass is spelled with the name of its
class, and only if it carries nothing but what the class in the list knows of.
"""

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from pickle import PicklingError
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Manager, Model, QuerySet
from django.utils import functional
from django.utils.functional import LazyObject, Promise

#: The types whose values say all there is to say in their `repr`.
PLAIN: Final[frozenset[type]] = frozenset({int, str, bool, float, bytes, type(None)})

_PLACES: Final = frozenset({"__dict__", "__weakref__"})
_HEAP: Final = 1 << 9  # Set in `__flags__` of a class that was made with a class statement.


def spell(value: Any) -> str:
    """Return text that is the same for equal values of one type, in every process.

    No two values that differ have the same. Raises `TypeError` for a value that is mutable, or
    whose text is not known to be stable.
    """
    kind = type(value)
    if kind in PLAIN:
        return f"{kind.__name__}:{_digits(value) if kind is int else repr(value)}"
    if issubclass(kind, Enum):
        return _spell_member(value)
    for base in kind.__mro__:
        if base in _VALUES:
            return f"{named(value, base)}:{_VALUES[base](value)}"
        if base in _OTHERS:
            return _OTHERS[base](value)
        if base in _MUTABLE:
            raise TypeError(
                f"a {kind.__name__} can change while it is a key; pass a {_MUTABLE[base]}"
            )
    raise TypeError(
        f"two processes cannot tell that a {full_name(kind)} is the same; pass plain values of "
        "it, or model instances"
    )


def evaluated(value: Promise) -> Any:
    """Return what a lazy value stands for now; raise `TypeError` if that is not known yet."""
    function, args, kwargs = made_by(value)
    return function(*args, **kwargs)


def made_by(value: Promise) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """Return the function that makes a lazy value, and its arguments.

    Raises `TypeError` if they are not known yet.
    """
    unpickle, (function, args, kwargs, *_) = value.__reduce__()[:2]  # type: ignore[misc]
    if unpickle is not functional._lazy_proxy_unpickle:  # type: ignore[attr-defined]
        raise TypeError("the text needs a number before it is one; pass the text itself")
    return function, args, kwargs


def named(value: Any, base: type) -> str:
    """Return the name of the type of a value that is one of `base` and no more than that."""
    kind = type(value)
    if kind is base:
        return base.__name__
    between = [each for each in kind.__mro__ if each not in base.__mro__]
    if getattr(value, "__dict__", None) or any(map(_has_place_for_more, between)):
        raise TypeError(
            f"a {full_name(kind)} may carry more than a {base.__name__} does; pass a plain "
            f"{base.__name__}"
        )
    if not is_found_by_name(kind):
        raise TypeError(
            f"{full_name(kind)} is no class that can be found by its name; pass a plain "
            f"{base.__name__}"
        )
    return f"{full_name(kind)}:{base.__name__}"


def _has_place_for_more(kind: type) -> bool:
    """Whether a class has slots, or is not written in Python and may have anything."""
    found = [value for name, value in vars(kind).items() if name not in _PLACES]
    return not kind.__flags__ & _HEAP or any(
        isinstance(value, MemberDescriptorType | GetSetDescriptorType) for value in found
    )


def full_name(kind: Any) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def dotted_name(thing: Any) -> str:
    """Return the name by which a class or function can be found; of others, that of the class."""
    return full_name(thing if hasattr(thing, "__qualname__") else type(thing))


def is_found_by_name(thing: Any) -> bool:
    """Whether the name of a class or function tells it from all others, such as local ones."""
    return hasattr(thing, "__qualname__") and found_by_name(thing) is thing


def found_by_name(thing: Any) -> Any:
    """Return what has the name of a class or function, which may be another one; or None."""
    found: Any = sys.modules.get(thing.__module__)
    for name in thing.__qualname__.split("."):
        found = getattr(found, name, None)
    return found


def _digits(value: int) -> str:
    try:
        return int.__repr__(value)
    except ValueError:  # Python refuses to write down thousands of digits.
        return hex(value)


def _spell_date(value: datetime) -> str:
    # Not `replace`, which a subclass may have changed.
    zone, local = spell(value.tzinfo), datetime.isoformat(value)
    return f"{local}/{value.fold}/{zone}"


def _spell_time(value: time) -> str:
    zone, local = spell(value.tzinfo), time.isoformat(value)
    return f"{local}/{value.fold}/{zone}"


def _spell_zone(value: ZoneInfo) -> str:
    try:
        ZoneInfo.__reduce__(value)
    except PicklingError:  # It may have any name, and the rules of another one.
        raise TypeError("a time zone from a file is no zone that others know; name one") from None
    return repr(value.key)


def _refuse_zone(value: tzinfo) -> str:
    raise TypeError(
        f"a {full_name(type(value))} has no spelling that tells it from all other time zones; "
        "use datetime.timezone or zoneinfo.ZoneInfo"
    )


def _spell_all(values: Any) -> str:
    return f"({','.join([spell(each) for each in values])})"


def _spell_member(value: Enum) -> str:
    kind = type(value)
    name = f"{full_name(kind)}:{value._name_!r}"
    if kind.__members__.get(value._name_) is not value:  # A flag of several, or of unknown bits.
        name += f"={spell(value._value_)}"
    if is_found_by_name(kind):
        return name
    return name + _spell_all((key, each._value_) for key, each in kind.__members__.items())


def _spell_row(value: Model) -> str:
    if value.pk is None:
        raise TypeError("the instance is not saved, so it has no primary key")
    database = value._state.db or DEFAULT_DB_ALIAS  # Row 3 of another database is another row.
    return f"{_label(type(value))}:{_spell_key(value)}@{database!r}"


def _spell_key(value: Model) -> str:
    key: Any = value.pk
    with suppress(ValidationError, TypeError, ValueError):
        # As the database will return it: 3, also if it was assigned "3".
        key = value._meta.pk.to_python(key)
    try:
        return spell(key)
    except TypeError:
        kind: Any = type(key)
        if kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__:
            raise  # Its text would be its address.
        return f"{full_name(kind)}:{value._meta.pk.value_to_string(value)!r}"  # As in fixtures.


def _spell_class(value: type) -> str:
    if not issubclass(value, Model):
        raise TypeError("of all classes, only models have a stable spelling")
    return f"model:{_label(value)}"


def _label(model: type[Model]) -> str:
    if model._meta.apps is not apps:
        raise TypeError(
            f"{model._meta.label} is a model of a migration or a test, with the name of another; "
            "pass the primary key"
        )
    return model._meta.label_lower


def _spell_lazy_object(value: Any) -> str:
    bool(value.__class__)  # Has it find out what it stands for.
    return spell(value._wrapped)


def _refuse_query(value: Any) -> str:
    raise TypeError(
        "what a query returns changes; pass what it is made from, or a tuple of primary keys"
    )


#: What is spelled after the name of the type. None of these asks a method that can be overridden.
_VALUES: Final[Mapping[type, Callable[[Any], str]]] = {
    str: str.__repr__,
    int: _digits,
    float: float.__repr__,
    bytes: bytes.__repr__,
    Decimal: Decimal.__str__,
    UUID: lambda value: str(value.int),
    datetime: _spell_date,
    date: date.isoformat,
    time: _spell_time,
    timedelta: lambda value: f"{value.days},{value.seconds},{value.microseconds}",
    timezone: timezone.__repr__,
    ZoneInfo: _spell_zone,
    tuple: lambda value: _spell_all(tuple.__iter__(value)),
    frozenset: lambda value: f"({','.join(sorted([spell(v) for v in frozenset.__iter__(value)]))})",
}

_OTHERS: Final[Mapping[type, Callable[[Any], str]]] = {
    Model: _spell_row,
    type: _spell_class,
    Promise: lambda value: spell(evaluated(value)),
    LazyObject: _spell_lazy_object,
    tzinfo: _refuse_zone,
    QuerySet: _refuse_query,
    Manager: _refuse_query,
}

_MUTABLE: Final[Mapping[type, str]] = {
    list: "tuple",
    set: "frozenset",
    bytearray: "bytes",
    dict: "tuple of pairs",
}
