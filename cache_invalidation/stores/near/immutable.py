"""Values that nobody can change, so that everybody may be given the same."""

from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from types import NoneType
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from django.utils.safestring import SafeString

# Exactly these: a subclass may have attributes.
_PLAIN: Final = frozenset(
    {
        *(NoneType, bool, int, float, complex, str, bytes, SafeString),
        *(Decimal, UUID, date, timedelta, timezone, ZoneInfo),
    }
)
_CONTAINERS: Final = frozenset({tuple, frozenset})
_ZONED: Final = frozenset({time, datetime})


def is_immutable(value: Any) -> bool:
    """Whether neither `value` nor anything in it can be changed."""
    kind = type(value)
    if kind in _PLAIN:
        return kind is not SafeString or not getattr(value, "__dict__", None)
    if kind in _ZONED:
        return is_immutable(value.tzinfo)
    return kind in _CONTAINERS and all(map(is_immutable, value))
