"""From the arguments of a call to the key of its entry."""

import datetime
import inspect
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from hashlib import blake2b
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model
from django.utils.functional import Promise

from cache_invalidation.tags import check_name

_PLAIN = (int, str, bool, float, bytes, type(None))
_SPELLED = (Decimal, UUID, datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo)


class Signature:
    """The parameters of a function, and how its calls are told apart."""

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        if name is None and function.__name__ == "<lambda>":
            raise TypeError("A lambda has no name to tell it from others by; pass name=.")
        self.name = check_name(name or f"{function.__module__}.{function.__qualname__}", "name")
        self._signature = inspect.signature(function)
        parameters = self._signature.parameters.values()
        self.names = tuple(parameter.name for parameter in parameters)
        kinds = {parameter.kind for parameter in parameters}
        self._is_plain = kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD}

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments by name, defaults included; raise `TypeError` as a call would."""
        if self._is_plain and not kwargs and len(args) == len(self.names):
            return dict(zip(self.names, args, strict=True))
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    def key(self, arguments: Mapping[str, Any]) -> str:
        """Return the key for these arguments.

        Raises `TypeError`, naming the argument, for one that has no stable spelling.
        """
        if not arguments:
            return self.name
        spelled = "\n".join([self._spell(name, value) for name, value in arguments.items()])
        digest = blake2b(spelled.encode(), digest_size=12).digest()
        return f"{self.name}:{urlsafe_b64encode(digest).decode()}"

    @staticmethod
    def name_in(key: str) -> str:
        """Return the name of the function in a key, which is all of it without arguments."""
        name, colon, digest = key.rpartition(":")
        return name if colon and len(digest) == 16 else key

    def _spell(self, name: str, value: Any) -> str:
        if type(value) in _PLAIN:
            return f"{name}={type(value).__name__}:{value!r}"
        if self._signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            items = sorted(value.items())
            return "\n".join([f"**{key!r}={spell(item)}" for key, item in items])
        try:
            return f"{name}={spell(value)}"
        except TypeError as error:
            raise TypeError(
                f"{self.name}() cannot be cached for {name}={value!r}: {error}."
            ) from None


def spell(value: Any) -> str:
    """Return text that is the same for equal values of one type, in every process.

    Raises `TypeError` for a value that is mutable, or whose text is not known to be stable.
    """
    kind = type(value)
    if kind in _PLAIN or isinstance(value, _SPELLED):
        return f"{kind.__name__}:{value!r}"
    for handled, spell_it in _SPELLERS:
        if isinstance(value, handled):
            return spell_it(value)
    if isinstance(value, list | dict | set | bytearray):
        cures = {"list": "tuple", "set": "frozenset", "bytearray": "bytes"}
        cure = cures.get(kind.__name__, "tuple of pairs")
        raise TypeError(f"a {kind.__name__} can change while it is a key; pass a {cure}")
    raise TypeError(
        f"a {kind.__module__}.{kind.__qualname__} has no spelling that is the same in every "
        "process; pass plain values or model instances"
    )


def _spell_instance(value: Model) -> str:
    if value.pk is None:
        raise TypeError("the instance is not saved, so it has no primary key")
    database = value._state.db or DEFAULT_DB_ALIAS  # Row 3 of another database is another row.
    return f"{value._meta.label_lower}:{value.pk!r}@{database}"


def _spell_class(value: type) -> str:
    if not issubclass(value, Model):
        raise TypeError("of all classes, only models have a stable spelling")
    return f"model:{value._meta.label_lower}"


def _spell_enum(value: Enum) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}:{value.name}"


# The first that matches counts: an enumeration can be a string, and a lazy text is no string yet.
_SPELLERS: tuple[tuple[type, Callable[[Any], str]], ...] = (
    (Model, _spell_instance),
    (Enum, _spell_enum),
    (type, _spell_class),
    (Promise, lambda value: spell(str(value))),
    (str, lambda value: f"str:{str.__repr__(value)}"),
    (tuple, lambda value: f"{type(value).__name__}:({','.join([spell(v) for v in value])})"),
    (frozenset, lambda value: f"frozenset:({','.join(sorted([spell(v) for v in value]))})"),
)
