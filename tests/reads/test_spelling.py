"""Values in keys: spelled alike if they are equal and of one type, and not otherwise."""

import datetime
import enum
import io
from collections import OrderedDict, namedtuple
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import TZPATH, ZoneInfo

import pytest
from django.apps.registry import Apps
from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.utils.functional import SimpleLazyObject, lazy
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy, ngettext_lazy, override
from hypothesis import example, given
from hypothesis import strategies as st

from cache_invalidation import cached
from cache_invalidation.reads.spelling import spell
from tests.testapp.models import Category, Product, ProductProxy

DAY = datetime.datetime(2026, 10, 25, 2, 30)
BERLIN, PARIS = ZoneInfo("Europe/Berlin"), ZoneInfo("Europe/Paris")


class Color(enum.Enum):
    RED = 1
    BLUE = 2
    ALSO_RED = 1


class Size(enum.IntEnum):
    SMALL = 1


class Letter(models.TextChoices):
    A = "a"


class Permission(enum.IntFlag):
    READ = 1
    WRITE = 2


class Mode(enum.Flag):
    FAST = 1
    LOUD = 2


class Anything(enum.Enum):
    """Makes members of whatever it is asked for."""

    KNOWN = 0

    @classmethod
    def _missing_(cls, value: object) -> Any:
        made = object.__new__(cls)
        made._name_ = "UNKNOWN"
        vars(made)["_value_"] = value
        return made


class Text(str):
    __slots__ = ()


class Slug(str):
    pass


class Cents(int):
    pass


class Moment(datetime.datetime):
    pass


class Slotted(str):
    __slots__ = ()


class Noted(Decimal):
    __slots__ = ("note",)


class Pair(NamedTuple):
    one: Any
    other: Any


Point = namedtuple("Point", ("one", "other"))


class Tuple(tuple[Any, ...]):
    __slots__ = ()


class Zone(datetime.tzinfo):
    """Two of these look alike and are not."""

    def __init__(self, hours: int) -> None:
        self.hours = hours

    def __repr__(self) -> str:
        return "Zone()"

    def utcoffset(self, when: Any) -> datetime.timedelta:
        return datetime.timedelta(hours=self.hours)

    def dst(self, when: Any) -> datetime.timedelta:
        return datetime.timedelta()

    def tzname(self, when: Any) -> str:
        return "Zone"


def lookalike(module: str) -> Any:
    """Return a class of the same name as one above, and not that one."""
    return type("Slug", (str,), {"__module__": module})


DIFFERENT: list[Any] = [
    *("a", mark_safe("a"), Text("a"), Slug("a"), Letter.A, b"a"),
    *(1, True, 1.0, Decimal(1), Decimal("1.0"), "1", Size.SMALL, Cents(1), Permission.READ),
    *(0.0, -0.0, Decimal("NaN"), Decimal("NaN1"), Decimal("sNaN"), float("inf"), None, "None"),
    *(10**5000, 10**5000 + 1, -(10**5000)),
    *(Color.RED, Color.BLUE, Mode.FAST, Mode.LOUD, Mode.FAST | Mode.LOUD, Mode(0)),
    *(Permission.READ | Permission.WRITE, Permission(0), Permission(8), Permission(16)),
    *(Permission(24), ~Permission.READ, Anything.KNOWN, Anything(7), Anything(8)),
    *(DAY, DAY.replace(fold=1), DAY.date(), DAY.time(), Moment(2026, 10, 25, 2, 30)),
    *(DAY.replace(tzinfo=zone) for zone in (BERLIN, PARIS, datetime.UTC)),
    *(DAY.replace(tzinfo=BERLIN, fold=1), DAY.time().replace(tzinfo=BERLIN)),
    DAY.time().replace(fold=1),
    DAY.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=1))),
    DAY.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=1), "CET")),
    *(BERLIN, datetime.UTC, "Europe/Berlin", datetime.timedelta(1), datetime.timedelta(0, 1)),
    *(UUID(int=1), str(UUID(int=1))),
    *((), (1,), (1, 2), ((1, 2),), Pair(1, 2), Point(1, 2), Tuple((1, 2)), frozenset({1, 2})),
    *(frozenset(), frozenset({(1, 2)}), ("a", "b"), ("a,str:'b'",), ("a", mark_safe("b"))),
    *(Product, ProductProxy, Category, "testapp.product"),
    *(Product(pk=1), ProductProxy(pk=1), Category(pk=1), Product(pk=2), (Product(pk=1),)),
]


def test_what_differs_is_spelled_differently():
    spelled = [spell(value) for value in DIFFERENT]
    assert sorted(set(spelled)) == sorted(spelled)


def test_what_is_equal_and_of_one_type_is_spelled_alike():
    alike = [
        ("a" * 3, "aaa"),
        (Color.RED, Color.ALSO_RED),
        (Permission(8) | Permission.READ, Permission(9)),
        (frozenset({"a", "b", "c"}), frozenset({"c", "b", "a"})),
        (mark_safe("a"), SafeString("a")),
        (ZoneInfo.no_cache("Europe/Berlin"), BERLIN),
        (Product(pk="3"), Product(pk=3, name="a")),
        (Decimal("1.50"), Decimal("1.50")),
        (float("nan"), -float("nan")),
    ]
    assert [spell(one) for one, _ in alike] == [spell(other) for _, other in alike]


def test_a_text_marked_safe_does_not_share_an_entry_with_its_text():
    @cached()
    def shown(text: str) -> str:
        return "as it is" if hasattr(text, "__html__") else "escaped"

    values = [mark_safe("<b>"), "<b>", mark_safe("<b>"), "<b>"]
    assert [shown(value) for value in values] == ["as it is", "escaped"] * 2


def test_flags_that_no_name_stands_for_do_not_share_an_entry():
    @cached()
    def number(permission: Permission) -> int:
        return int(permission)

    assert [number(Permission(bits)) for bits in (8, 16, 3, 8)] == [8, 16, 3, 8]


def test_the_members_of_classes_with_one_name_are_told_apart():
    def made(**members: Any) -> Any:
        return enum.Enum("Made", members)

    one, other, third = made(A=1), made(A=2), made(A=1, B=2)
    assert len({spell(one.A), spell(other.A), spell(third.A)}) == 3
    assert spell(made(A=1).A) == spell(one.A)
    with pytest.raises(TypeError):
        spell(made(A=object()).A)


class TestLazyValues:
    def test_a_lazy_text_is_the_text_of_the_language_that_is_active(self):
        with override("en"):
            english = spell(gettext_lazy("yes"))
            assert english == spell("yes")
        with override("de"):
            assert spell(gettext_lazy("Yes")) == spell("Ja") != english

    def test_it_is_what_it_stands_for_and_not_its_text(self):
        assert spell(lazy(lambda: 5, int)()) == spell(5)
        assert spell(lazy(lambda: (5,), tuple)()) == spell((5,))
        assert spell(lazy(format_html, str)("<b>{}</b>", "a")) == spell(mark_safe("<b>a</b>"))

    def test_one_that_needs_a_number_first_is_refused(self):
        with pytest.raises(TypeError, match="needs a number"):
            spell(ngettext_lazy("%d apple", "%d apples"))
        assert spell(ngettext_lazy("apple", "apples", 2)) == spell("apples")

    def test_a_lazy_object_is_what_it_stands_for(self):
        assert spell(SimpleLazyObject(lambda: Product(pk=3))) == spell(Product(pk=3))
        assert spell(SimpleLazyObject(lambda: "a")) == spell("a")
        with pytest.raises(TypeError, match="AnonymousUser"):
            spell(SimpleLazyObject(AnonymousUser))


def from_file(name: str, **options: Any) -> ZoneInfo:
    data = next(p for path in TZPATH if (p := Path(path, name)).exists()).read_bytes()
    return ZoneInfo.from_file(io.BytesIO(data), **options)


def local_pair() -> Any:
    return type("Local", (Pair,), {"__slots__": ()})


def with_attribute(value: Any) -> Any:
    value.note = "more"
    return value


def historical() -> Any:
    class Meta:
        app_label = "testapp"
        apps = Apps()

    return type("Product", (models.Model,), {"__module__": __name__, "Meta": Meta})


@pytest.mark.parametrize(
    ("make", "cure"),
    [
        (lambda: [1], "pass a tuple"),
        (lambda: {1}, "pass a frozenset"),
        (lambda: {"a": 1}, "pass a tuple of pairs"),
        (lambda: OrderedDict(a=1), "pass a tuple of pairs"),
        (lambda: bytearray(b"a"), "pass a bytes"),
        (lambda: (1, [2]), "pass a tuple"),
        (object, "cannot tell that a"),
        (lambda: Fraction(1, 2), "cannot tell that a"),
        (lambda: len, "cannot tell that a"),
        (lambda: int, "only models"),
        (lambda: frozenset({object}), "only models"),
        (lambda: with_attribute(Slug("a")), "pass a plain str"),
        (lambda: with_attribute(Cents(1)), "pass a plain int"),
        (lambda: with_attribute(Moment(2026, 1, 2)), "pass a plain datetime"),
        (lambda: Noted(1), "pass a plain Decimal"),
        (lambda: lookalike(__name__)("a"), "pass a plain str"),
        (lambda: lookalike("nowhere")("a"), "pass a plain str"),
        (lambda: local_pair()(1, 2), "pass a plain tuple"),
        (lambda: Path.cwd().stat(), "pass a plain tuple"),
        (lambda: Zone(1), "use datetime.timezone or zoneinfo.ZoneInfo"),
        (lambda: DAY.replace(tzinfo=Zone(1)), "use datetime.timezone or zoneinfo.ZoneInfo"),
        (lambda: DAY.time().replace(tzinfo=Zone(2)), "use datetime.timezone"),
        (lambda: from_file("Europe/Berlin"), "from a file"),
        (lambda: from_file("Europe/Berlin", key="Europe/Paris"), "from a file"),
        (Product, "not saved"),
        (lambda: Product.objects.all(), "a tuple of primary keys"),
        (lambda: Product.objects, "a tuple of primary keys"),
        (lambda: historical()(pk=1), "pass the primary key"),
        (historical, "pass the primary key"),
    ],
)
def test_what_has_no_spelling_is_refused_with_the_cure(make, cure):
    @cached(tags=["a"])
    def page(value: Any) -> int:
        return 1

    with pytest.raises(TypeError, match=cure) as caught:
        page(make())
    assert "page() cannot be cached for value=" in str(caught.value)


def test_a_value_that_cannot_be_shown_is_refused_all_the_same():
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    @cached()
    def page(value: Any) -> int:
        return 1

    for value in (Broken(), ["a" * 10_000]):
        with pytest.raises(TypeError, match=r"page.. cannot be cached for value=") as caught:
            page(value)
        assert len(str(caught.value)) < 1000


# Much that is alike at first sight, so that a mistake is found.
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.sampled_from([0.0, -0.0, 1.0, float("inf")]),
    st.text("a',:()\n\\=*", max_size=4),
    st.text("a',:()\n\\=*", max_size=4).map(mark_safe),
    st.text("a',:()\n\\=*", max_size=4).map(Text),
    st.binary(max_size=2),
    st.decimals(-1, 1, places=1),
    st.sampled_from([*Color, *Size, *map(Permission, range(20)), *map(Mode, range(4))]),
    st.datetimes(DAY, DAY + datetime.timedelta(seconds=1), timezones=st.sampled_from([BERLIN])),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(Tuple),
        st.frozensets(inner, max_size=3),
        st.tuples(inner, inner).map(lambda pair: Pair(*pair)),
    ),
    max_leaves=6,
)
CALLS = st.tuples(
    st.lists(VALUES, max_size=3),
    st.dictionaries(st.text("ab=*\n:'", min_size=1, max_size=3), VALUES, max_size=3),
)


def told_apart(value: Any) -> Any:
    """Return what is equal to that of another value if both are equal, all the way down."""
    kind = type(value)
    if issubclass(kind, tuple):
        return kind, tuple(map(told_apart, value))
    if issubclass(kind, frozenset):
        return kind, frozenset(map(told_apart, value))
    if issubclass(kind, datetime.datetime):
        return kind, value.replace(tzinfo=None), value.fold, str(value.tzinfo)
    # As text, because -0.0 equals 0.0, and 1.0 equals 1.
    return kind, str(value) if issubclass(kind, float | Decimal) else value


@cached(name="spelling.anything")
def anything(*args: Any, **options: Any) -> None: ...


@given(CALLS, CALLS)
@example(([("a",)], {}), (["a"], {}))
@example((["a", "b"], {}), (["a,str:'b'"], {}))
@example(([], {"a": "1\n**'b'=str:'2'"}), ([], {"a": "1", "b": "2"}))
def test_two_calls_have_one_key_if_and_only_if_their_arguments_are_equal(one, other):
    calls = [
        (told_apart(tuple(args)), {name: told_apart(v) for name, v in options.items()})
        for args, options in (one, other)
    ]
    keys = [anything.key(*args, **options) for args, options in (one, other)]
    assert (keys[0] == keys[1]) == (calls[0] == calls[1])


@given(VALUES, VALUES)
def test_two_values_are_spelled_alike_if_and_only_if_they_are_equal(one, other):
    assert (spell(one) == spell(other)) == (told_apart(one) == told_apart(other))
    assert spell((one, other)) != spell((one,)) != spell(one)
