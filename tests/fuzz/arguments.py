"""Arguments that are easily taken for each other, and what a function can tell of them."""

import datetime
import enum
from collections import namedtuple
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.utils.functional import Promise
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy


class Right(enum.IntFlag):
    """The database may hold bits that have no name."""

    READ = 1
    WRITE = 2


class Loose(enum.Flag, boundary=enum.KEEP):
    ONE = 1


class Color(enum.StrEnum):
    RED = "red"
    ROSE = "rose"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Title(str):
    """Text that knows its language, and is shown in another way."""

    language: str

    def __new__(cls, text: str, language: str) -> "Title":
        made = super().__new__(cls, text)
        made.language = language
        return made

    def __repr__(self) -> str:
        return "Title"

    def __str__(self) -> str:
        return "title"


class Price(Decimal):
    currency: str

    def __new__(cls, amount: str, currency: str) -> "Price":
        made = super().__new__(cls, amount)
        made.currency = currency
        return made


class Quiet(int):
    def __repr__(self) -> str:
        return "0"


class Span(datetime.timedelta):
    def __repr__(self) -> str:
        return "a while"


Pair = namedtuple("Pair", "one two")
Other = namedtuple("Other", "two one")

_ZONE = ZoneInfo("Europe/Berlin")
_TWICE = datetime.datetime(2024, 10, 27, 2, 30, tzinfo=_ZONE)

#: Those of one group look alike.
GROUPS: tuple[tuple[Any, ...], ...] = (
    (mark_safe("<b>"), "<b>"),
    ((mark_safe("<b>"),), ("<b>",)),
    (frozenset({mark_safe("<b>")}), frozenset({"<b>"})),
    (Right(8), Right(16), Right(9), 8, Right.READ, Right.READ | Right.WRITE),
    (Loose(8), Loose(16), Loose.ONE),
    (Color.RED, Color.ROSE, "red", "Color.RED"),
    (Size.SMALL, Size.LARGE, 1, True, 1.0, Decimal(1), Decimal("1.0"), "1", b"1"),
    (Title("a", "de"), Title("a", "fr"), Title("b", "de"), "a", "title"),
    (Price("1", "EUR"), Price("1", "CHF"), Decimal(1)),
    (Quiet(1), Quiet(2), 0, 1),
    (Span(1), Span(2), datetime.timedelta(1)),
    (0.0, -0.0, 0, False, None, "", "None", ()),
    (Pair(1, 2), Pair(2, 1), Other(2, 1), Other(1, 2), (1, 2), ("1", 2)),
    (_TWICE, _TWICE.replace(fold=1), _TWICE.replace(tzinfo=None), _TWICE.date()),
    (UUID(int=1), str(UUID(int=1)), 1),
    (("a", "b"), ("a, b",), ("a", ("b",)), (("a",), "b"), "('a', 'b')"),
    (frozenset({1}), frozenset({True}), frozenset({(1,)}), (1,)),
    (gettext_lazy("Yes"), "Yes", "No"),
    ("a\nb=1", "a", "a\n", "a\\nb=1"),
)


def told(value: Any) -> Any:
    """Return all that a function can tell of an argument, in plain values."""
    if isinstance(value, Promise):
        return told(str(value))  # It stands for its text.
    if isinstance(value, tuple):
        return (type(value).__name__, [told(each) for each in value])
    if isinstance(value, frozenset):
        return (type(value).__name__, sorted([told(each) for each in value], key=repr))
    name, own = type(value).__name__, sorted(getattr(value, "__dict__", {}).items())
    if isinstance(value, enum.Enum):
        return (name, value.value)
    if isinstance(value, datetime.datetime):
        return (name, value.isoformat(), value.fold, str(value.tzinfo))
    for base in (str, Decimal, bool, int, float, datetime.timedelta):
        if isinstance(value, base):
            return (name, base.__repr__(value), own)
    return (name, repr(value), own)
