"""Rows as the database returned them, as the cache keeps them.

A serializer that knows fewer types than a database, such as JSON, gets values of others spelled.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from cache_invalidation.stores.base import Store

MOST: Final = 10_000  # rows of one query that are kept
LONGEST: Final = 4 * 1024 * 1024  # bytes of what is kept of one query

Rows = Sequence[tuple[Any, ...]]


class TooManyError(ValueError):
    """There is more than is worth keeping."""


# What every serializer gives back as it is.
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


def encode(rows: Rows, store: Store) -> bytes:
    """Return `rows` as `decode` takes them.

    Raises `TooManyError`, and what else there is to raise for values that cannot be kept.
    """
    if len(rows) > MOST:
        raise TooManyError
    if store.keeps_types:
        payload = store.encode([tuple(map(_loose, row)) for row in rows])
    else:
        payload = store.encode([[_spelled(value) for value in row] for row in rows])
    if len(payload) > LONGEST:
        raise TooManyError
    return payload


class Kept:
    """The codec of rows that `encode` has made a payload of."""

    @staticmethod
    def encode(value: bytes, store: Store) -> bytes:
        """Return the payload, which is one already."""
        return value

    @staticmethod
    def decode(payload: Any, store: Store) -> Rows:
        """Return the rows, for one caller alone; raise `ValueError` if they are unreadable."""
        found: list[Any] = store.decode(payload)
        if store.keeps_types:
            return found
        try:
            return [tuple([_read(value) for value in row]) for row in found]
        except (TypeError, LookupError, ArithmeticError) as error:
            raise ValueError(f"unreadable rows: {error!r}") from error


class Shared(Kept):
    """The same for rows that are kept near, of which everybody may be given the same."""

    @staticmethod
    def decode(payload: Any, store: Store) -> Rows:
        """Return the rows in a tuple: unless there are lists in them, nobody can change that."""
        return tuple(Kept.decode(payload, store))


def _loose(value: Any) -> Any:
    """Return what takes the place of a buffer of the driver, which nobody can keep."""
    return bytes(value) if type(value) is memoryview else value


def _spelled(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is memoryview:
        value, kind = bytes(value), bytes
    if kind not in _SPELLINGS:
        raise TypeError(f"a {kind.__name__} in a row has no spelling")
    return [kind.__name__, _SPELLINGS[kind](value)]


def _read(value: Any) -> Any:
    if type(value) is not list and type(value) is not tuple:
        return value
    name, text = value
    return _READERS[name](text)


def _zone(value: datetime | time) -> str | None:
    zone = value.tzinfo
    if zone is None or zone is UTC:
        return None if zone is None else "UTC"
    if type(zone) is ZoneInfo and zone.key:
        return f"/{zone.key}"
    raise TypeError(f"a {type(zone).__name__} has no spelling")


def _zoned(value: Any, zone: str | None, fold: int) -> Any:
    if zone is None:
        return value.replace(fold=fold)
    return value.replace(tzinfo=UTC if zone == "UTC" else ZoneInfo(zone[1:]), fold=fold)


def _moment(value: datetime | time) -> list[Any]:
    return [value.replace(tzinfo=None).isoformat(), _zone(value), value.fold]


_SPELLINGS: Final[Mapping[type, Callable[[Any], Any]]] = {
    Decimal: str,
    UUID: str,
    bytes: bytes.hex,
    date: date.isoformat,
    datetime: _moment,
    time: _moment,
    timedelta: lambda value: [value.days, value.seconds, value.microseconds],
    list: lambda value: list(map(_spelled, value)),
    tuple: lambda value: list(map(_spelled, value)),
    dict: lambda value: [[_spelled(key), _spelled(each)] for key, each in value.items()],
}
_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "Decimal": Decimal,
    "UUID": UUID,
    "bytes": bytes.fromhex,
    "date": date.fromisoformat,
    "datetime": lambda said: _zoned(datetime.fromisoformat(said[0]), *said[1:]),
    "time": lambda said: _zoned(time.fromisoformat(said[0]), *said[1:]),
    "timedelta": lambda said: timedelta(*said),
    "list": lambda said: list(map(_read, said)),
    "tuple": lambda said: tuple(map(_read, said)),
    "dict": lambda said: {_read(key): _read(each) for key, each in said},
}
