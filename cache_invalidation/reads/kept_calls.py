"""The call that an entry answers, kept in front of its value, so that it can be made again.

Model instances are kept as the names of their rows, and fetched anew: what an old copy says would
hide that the row says something else by now.
"""

import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model, QuerySet
from django.utils.functional import Promise

from cache_invalidation.reads.spelling import evaluated
from cache_invalidation.stores.base import Store

# Begins every payload that a call stands in front of, and none else: see `wrap`.
MARK: Final = b"\x00ci kept"

# Behind it: when it was stored (seconds since the epoch), and how many bytes the call has.
_LAYOUT: Final = struct.Struct(">dI")
_HEAD: Final = len(MARK) + _LAYOUT.size

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Kept:
    """What was kept with an entry: when it was stored, and its call if that could be kept."""

    stored_at: float  # seconds since the epoch
    call: tuple[list[Any], dict[str, Any]] | None


def write_down(
    args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments as any serializer takes them, with instances as names of rows.

    Raises `TypeError` for what would take an instance along.
    """
    return [_write(value) for value in args], {name: _write(v) for name, v in kwargs.items()}


def read_back(call: tuple[list[Any], Mapping[str, Any]]) -> Arguments:
    """Return the arguments that were written down, with the rows as they are now.

    Raises `LookupError` or `ObjectDoesNotExist` for models and rows that are gone, and what the
    database raises.
    """
    args, kwargs = call
    return tuple(map(_read, args)), {name: _read(value) for name, value in kwargs.items()}


def _write(value: Any) -> list[Any]:
    if isinstance(value, Model):
        using = value._state.db or DEFAULT_DB_ALIAS
        return ["row", value._meta.label_lower, value.pk, using]
    if isinstance(value, type) and issubclass(value, Model):
        return ["model", value._meta.label_lower]
    if isinstance(value, Promise):
        return _write(evaluated(value))
    if isinstance(value, tuple | frozenset):
        items = list(map(_write, value))
        if type(value) in (tuple, frozenset):
            return [type(value).__name__, items]
        if any(item[0] != "plain" for item in items):
            raise TypeError(f"a {type(value).__qualname__} cannot be made anew")
    return ["plain", value]


def _read(written: list[Any]) -> Any:
    kind, value, *rest = written
    match kind:
        case "row":
            pk, using = rest
            return QuerySet(apps.get_model(value), using=using).get(pk=pk)
        case "model":
            return apps.get_model(value)
        case "tuple":
            return tuple(map(_read, value))
        case "frozenset":
            return frozenset(map(_read, value))
    return value


def wrap(payload: bytes, call: Arguments | None, store: Store) -> bytes:
    """Return `payload` with `call` and the time in front of it; as it is if there is no `call`.

    A payload that by chance looks like one with a call in front gets an empty one, to tell.
    """
    if call is None and not payload.startswith(MARK):
        return payload
    kept = b"" if call is None else _encode(call, store)
    return b"".join((MARK, _LAYOUT.pack(time.time(), len(kept)), kept, payload))


def _encode(call: Arguments, store: Store) -> bytes:
    try:
        return store.encode(write_down(*call))
    except Exception:  # noqa: BLE001 - serializers raise what they like
        return b""


def unwrap(payload: Any) -> Any:
    """Return the payload that `wrap` was given."""
    return payload[_end(payload) :] if _is_wrapped(payload) else payload


def kept(payload: Any, store: Store) -> Kept | None:
    """Return what `wrap` has put in front of a payload; None if that is nothing or unreadable."""
    at = stored_at(payload)
    if at is None:
        return None
    call = payload[_HEAD : _end(payload)]
    if not call:
        return Kept(at, None)
    try:
        args, kwargs = store.decode(call)
    except (ValueError, TypeError):
        return None
    return Kept(at, (args, kwargs))


def stored_at(payload: Any) -> float | None:
    """Return when a payload was stored that `wrap` has made; None for any other one."""
    if not _is_wrapped(payload):
        return None
    at: float = _LAYOUT.unpack_from(payload, len(MARK))[0]
    return at


def _is_wrapped(payload: Any) -> bool:
    return isinstance(payload, bytes) and payload.startswith(MARK) and len(payload) >= _HEAD


def _end(payload: bytes) -> int:
    return _HEAD + int(_LAYOUT.unpack_from(payload, len(MARK))[1])
