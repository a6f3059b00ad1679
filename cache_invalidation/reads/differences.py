"""Where two values differ, told without telling the values."""

import math
import pickle
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from datetime import date, time, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

from django.db import DJANGO_VERSION_PICKLE_KEY
from django.db.models import Model, QuerySet

# What says everything about itself when it is asked whether it equals another.
_VALUES: Final = (
    *(str, bytes, int, complex, Decimal, UUID, Enum, type, type(None)),
    *(date, time, timedelta, tzinfo),
)

# The last digits of a sum depend on the order in which a database adds up.
PRECISION: Final = 1e-9
# Attributes of an instance that are not of its row.
_BESIDES: Final = {"_state", DJANGO_VERSION_PICKLE_KEY}
LONGEST_KEY: Final = 40  # characters


@dataclass(frozen=True, slots=True)
class Difference:
    """The first one that was met: the way to it, such as ``[3]['name']``, and of what kind."""

    path: str
    kind: str

    def __str__(self) -> str:
        return f"{self.path or 'the value itself'}: {self.kind}"


def first_difference(cached: Any, fresh: Any) -> Difference | None:
    """Return where `fresh` differs from `cached`; None if nobody could tell them apart.

    Both have been through the serializer. The order counts in sequences and not in dictionaries,
    NaN equals NaN, and floats are equal if they agree in nine digits. Instances of models and other
    objects are equal if all their attributes are.
    """
    return _Comparison().compare(cached, fresh, "")


class _Comparison:
    def __init__(self) -> None:
        # Objects may refer to each other in a circle.
        self._under_way: set[tuple[int, int]] = set()

    def compare(self, cached: Any, fresh: Any, path: str) -> Difference | None:
        if cached is fresh:
            return None
        if type(cached) is not type(fresh):
            return Difference(path, f"{_kind(fresh)} instead of {_kind(cached)}")
        if isinstance(fresh, float):
            return None if _close(cached, fresh) else Difference(path, "another value")
        if isinstance(fresh, _VALUES):
            return None if _equal(cached, fresh) else Difference(path, "another value")
        pair = id(cached), id(fresh)
        if pair in self._under_way:
            return None
        self._under_way.add(pair)
        try:
            return self._compare_inside(cached, fresh, path)
        finally:
            self._under_way.discard(pair)

    def _compare_inside(self, cached: Any, fresh: Any, path: str) -> Difference | None:
        if isinstance(fresh, Model):
            return self._dicts(_columns(cached), _columns(fresh), path, attributes=True)
        if isinstance(fresh, QuerySet):
            return self._sequences(list(cached), list(fresh), path)
        if isinstance(fresh, dict):
            found = self._dicts(cached, fresh, path)
        elif isinstance(fresh, list | tuple):
            found = self._sequences(cached, fresh, path)
        elif isinstance(fresh, set | frozenset):
            found = self._sets(cached, fresh, path)
        else:
            return self._objects(cached, fresh, path)
        # One of a class of its own, such as a cookie, may have attributes besides.
        one, other = (getattr(each, "__dict__", {}) for each in (cached, fresh))
        return found or self._dicts(one, other, path, attributes=True)

    def _dicts(
        self, cached: dict[Any, Any], fresh: dict[Any, Any], path: str, attributes: bool = False
    ) -> Difference | None:
        for key in [*fresh, *(key for key in cached if key not in fresh)]:
            step = f"{path}.{key}" if attributes else f"{path}[{_shown(key)}]"
            if key not in cached or key not in fresh:
                return Difference(step, "missing" if key in cached else "not in the cached value")
            if found := self.compare(cached[key], fresh[key], step):
                return found
        return None

    def _sequences(
        self, cached: Sequence[Any], fresh: Sequence[Any], path: str
    ) -> Difference | None:
        if len(cached) != len(fresh):
            return Difference(path, f"{len(fresh)} items instead of {len(cached)}")
        for index, (one, other) in enumerate(zip(cached, fresh, strict=True)):
            if found := self.compare(one, other, f"{path}[{index}]"):
                if _pickles(cached) == _pickles(fresh):
                    return Difference(path, "the same items in another order")
                return found
        return None

    def _sets(self, cached: Set[Any], fresh: Set[Any], path: str) -> Difference | None:
        if cached != fresh:
            return Difference(path, "other members")
        # Members can be equal and yet differ: rows are equal if their keys are.
        counterparts = {member: member for member in cached}
        for member in fresh:
            if found := self.compare(counterparts[member], member, f"{path}{{…}}"):
                return found
        return None

    def _objects(self, cached: Any, fresh: Any, path: str) -> Difference | None:
        """Compare what two objects are pickled as."""
        one, other = (_State(value.__reduce_ex__(4)) for value in (cached, fresh))
        return (
            self.compare(one.made_of, other.made_of, path)
            or self._dicts(one.attributes, other.attributes, path, attributes=True)
            or self._sequences(one.items, other.items, path)
            or self._dicts(one.keyed, other.keyed, path)
        )


class _State:
    """What `__reduce_ex__` says of an object, part by part."""

    def __init__(self, reduced: Any) -> None:
        parts = (reduced,) if isinstance(reduced, str) else reduced[1:5]
        made_of, state, items, keyed = (*parts, None, None, None)[:4]
        dicts = state if isinstance(state, tuple) else (state,)
        self.attributes: dict[Any, Any] = {}
        for attributes in dicts:  # Those of `__dict__` and those of `__slots__`.
            if isinstance(attributes, dict):
                self.attributes |= attributes
        is_known = all(each is None or isinstance(each, dict) for each in dicts)
        self.made_of = made_of if is_known else (made_of, state)
        self.items = list(items or ())
        self.keyed = dict(keyed or ())


def _columns(row: Model) -> dict[str, Any]:
    """Return what an instance holds: its fields, and the related rows that it has loaded."""
    related = dict(getattr(row._state, "fields_cache", {}))
    return {k: v for k, v in vars(row).items() if k not in _BESIDES} | related


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=PRECISION) or (math.isnan(one) and math.isnan(other))


def _equal(one: Any, other: Any) -> bool:
    # A decimal and a complex number can be NaN as well.
    return bool(one == other) or bool(one != one and other != other)


def _pickles(items: Iterable[Any]) -> list[bytes] | None:
    """Return what tells the items apart, whatever their order; a guess, as pickles are."""
    return sorted(pickle.dumps(item) for item in items)


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def _shown(key: Any) -> str:
    if not isinstance(key, str | int):
        return f"<{type(key).__name__}>"
    text = repr(key)
    return text if len(text) <= LONGEST_KEY else f"{text[:LONGEST_KEY]}…"
