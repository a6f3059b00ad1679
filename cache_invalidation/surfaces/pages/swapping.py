"""An object whose class is swapped for a subclass that asks somebody for each attribute."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from typing import Any, Final, Protocol

#: Where the one who is asked is kept, among the attributes of the object.
KEY: Final = "_cache_invalidation_recording"

# Per thread and task: while one of them looks for itself, another one may have the view's work.
_aside: ContextVar[tuple[Any, ...]] = ContextVar("cache_invalidation_aside", default=())


class Record(Protocol):
    """Who is asked for what is looked at of an object."""

    def get(self, looked_at: Any, name: str, /) -> Any:
        """Return the attribute `name` of the object, and take note of that."""

    def set(self, name: str, /) -> None:
        """Take note that an attribute is set or deleted."""


def held_by(looked_at: Any) -> dict[str, Any]:
    """Return the attributes of an object, without anybody being asked."""
    found: dict[str, Any] = object.__getattribute__(looked_at, "__dict__")
    return found


def record_of(looked_at: Any) -> Any:
    """Return who is asked for the attributes of an object now, if anybody is."""
    return held_by(looked_at).get(KEY)


def is_aside(record: Any) -> bool:
    """Whether this is inside of a block `aside` of `record`."""
    return any(each is record for each in _aside.get())


@contextmanager
def aside(record: Any) -> Iterator[None]:
    """Have `record` take no note of what is looked at inside of the block."""
    token = _aside.set((*_aside.get(), record))
    try:
        yield
    finally:
        _aside.reset(token)


@contextmanager
def recorded_by(record: Record, looked_at: Any) -> Iterator[None]:
    """Have `record` asked for each attribute of `looked_at` inside of the block."""
    kind: Any = type(looked_at)
    held = held_by(looked_at)
    outer = held.get(KEY)
    held[KEY] = record
    if outer is None:
        looked_at.__class__ = _recording_kind(kind)
    try:
        yield
    finally:
        if outer is None:
            del held[KEY]
            looked_at.__class__ = kind
        else:
            held[KEY] = outer


def with_twin(function: Any, looked_at: Any) -> Any:
    """Return `function` bound to one with the attributes of `looked_at` that nobody records."""
    if not isinstance(function, partial):
        return function
    twin: Any = object.__new__(type(looked_at).__base__ or type(looked_at))
    object.__setattr__(twin, "__dict__", held_by(looked_at))
    args = [twin if value is looked_at else value for value in function.args]
    return partial(function.func, *args, **function.keywords)


@cache
def _recording_kind(kind: Any) -> Any:
    """Return the subclass of `kind` whose instances ask who records."""

    def get(self: Any, name: str) -> Any:
        record = record_of(self)
        if record is None or name == "__class__":
            return object.__getattribute__(self, name)
        return record.get(self, name)

    def put(self: Any, name: str, value: Any) -> None:
        record = record_of(self)
        if record is not None:
            record.set(name)
        object.__setattr__(self, name, value)

    def drop(self: Any, name: str) -> None:
        record = record_of(self)
        if record is not None:
            record.set(name)
        object.__delattr__(self, name)

    def reduce(self: Any, protocol: Any) -> Any:
        held = dict(held_by(self))
        record = held.pop(KEY, None)
        if record is not None:
            record.get(self, "__reduce_ex__")
        # Nobody asks of a copy: it goes its own way.
        plain: Any = object.__new__(kind)
        vars(plain).update(held)
        return plain.__reduce_ex__(protocol)

    made = {
        "__getattribute__": get,
        "__setattr__": put,
        "__delattr__": drop,
        "__reduce_ex__": reduce,
    }
    return type(kind.__name__, (kind,), made)
