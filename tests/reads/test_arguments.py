"""Which calls share an entry, and which arguments cannot be part of a key."""

import datetime
import os
import subprocess
import sys
from collections import namedtuple
from decimal import Decimal
from enum import Enum, IntEnum
from textwrap import dedent
from typing import Any
from uuid import UUID

import pytest

from cache_invalidation.reads.arguments import Signature
from tests.testapp.models import Category, Product

DAY = datetime.date(2026, 1, 2)


class Color(Enum):
    RED = 1
    BLUE = 2


class Size(IntEnum):
    SMALL = 1


Point = namedtuple("Point", ("x", "y"))


class Text(str):
    __slots__ = ()


def page(category_id, number=1, *, order="name"): ...


def anything(*args, **kwargs): ...


def key(function, *args: Any, **kwargs: Any) -> str:
    signature = Signature(function)
    return signature.key(signature.bind(args, kwargs))


def test_a_function_without_arguments_is_its_name():
    def front(): ...

    assert key(front) == f"{__name__}.{front.__qualname__}"


def test_keywords_positions_and_defaults_lead_to_one_entry():
    assert (
        key(page, 3)
        == key(page, 3, 1)
        == key(page, number=1, category_id=3)
        == key(page, 3, order="name")
    )


def test_a_call_that_lacks_an_argument_is_told_by_name():
    with pytest.raises(TypeError, match=r"sum_of\(\): missing a required argument: 'b'"):
        Signature(lambda a, b: None, "sum_of").bind((1,), {})


@pytest.mark.parametrize("call", [(4,), (3, 2), ("3",), (3.0,), (True,), (None,), ((3,),)])
def test_other_values_and_other_types_lead_to_other_entries(call):
    assert key(page, *call) != key(page, 3)


def test_one_and_true_are_two_entries():
    assert (
        len({key(page, value) for value in (1, True, 1.0, "1", b"1", Decimal(1), Size.SMALL)}) == 7
    )


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((1, 2, 3), {}), ((1,), {"nope": 2})])
def test_a_call_that_python_would_refuse_is_refused_as_by_python(args, kwargs):
    with pytest.raises(TypeError):
        key(page, *args, **kwargs)


def test_the_order_of_further_keywords_does_not_matter_but_that_of_positions_does():
    assert key(anything, a=1, b=2) == key(anything, b=2, a=1)
    assert key(anything, 1, 2) != key(anything, 2, 1)
    assert key(anything, (1, 2)) != key(anything, 1, 2)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": "1\n**b=str:'2'"}, {"a": "1", "b": "2"}),
        ({"a=str:'1'\n**b": "2"}, {"a": "1", "b": "2"}),
        ({"a=str:'1'": "2"}, {"a": "1'=str:'2"}),
    ],
)
def test_a_user_who_chooses_names_and_values_cannot_reach_the_entry_of_another_call(one, other):
    assert key(anything, **one) != key(anything, **other)


def test_text_cannot_pass_for_several_arguments():
    def two(a, b=""): ...

    assert key(two, "x'\nb=str:'y") != key(two, "x", "y")
    assert key(anything, "a,str:b") != key(anything, "a", "b")


@pytest.mark.parametrize(
    "value",
    [
        Decimal("1.50"),
        UUID(int=1),
        DAY,
        datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.UTC),
        datetime.time(3),
        datetime.timedelta(3),
        Color.RED,
        Size.SMALL,
        b"bytes",
        None,
        (1, ("a", DAY)),
        pytest.param(frozenset({1, "a", (2,)}), id="frozenset"),
        Product,
        Text("x"),
    ],
    ids=repr,
)
def test_values_with_a_stable_spelling_can_be_arguments(value):
    assert key(page, value) == key(page, value)
    assert key(page, value) != key(page, 3)


def test_an_instance_is_its_model_and_key_whatever_else_it_holds():
    assert key(page, Product(pk=1, name="a")) == key(page, Product(pk=1, name="b"))
    assert key(page, Product(pk=1)) != key(page, Product(pk=2))
    assert key(page, Product(pk=1)) != key(page, Category(pk=1))
    assert key(page, Product(pk=1)) != key(page, 1)


@pytest.mark.parametrize(
    ("value", "cure"),
    [
        ([1], "pass a tuple"),
        ({1}, "pass a frozenset"),
        ({"a": 1}, "pass a tuple of pairs"),
        (bytearray(b"a"), "pass a bytes"),
        pytest.param(object(), "cannot tell that a builtins.object is the same", id="object()"),
        (int, "only models"),
        (len, "cannot tell that"),
        (Product(), "not saved"),
        ((1, [2]), "pass a tuple"),
        (frozenset({object}), "only models"),
    ],
    ids=repr,
)
def test_a_value_without_a_stable_spelling_is_refused_with_a_cure(value, cure):
    with pytest.raises(TypeError, match=cure) as caught:
        key(page, value)
    assert "page() cannot be cached for category_id=" in str(caught.value)


def test_a_further_keyword_without_a_stable_spelling_is_refused_too():
    with pytest.raises(TypeError, match="pass a tuple"):
        key(anything, filters=[1])


def test_a_lambda_needs_a_name():
    with pytest.raises(TypeError, match="pass name="):
        Signature(lambda: None)
    assert Signature(lambda: None, "front").key({}) == "front"


@pytest.mark.parametrize("name", ["a\nb", " ", "x" * 251])
def test_a_name_has_to_be_usable(name):
    with pytest.raises(ValueError, match="A name must"):
        Signature(page, name)


def test_functions_of_one_name_in_different_places_do_not_share_entries():
    def outer():
        def page(category_id): ...

        return page

    assert key(page, 3) != key(outer(), 3)


def test_a_key_is_the_same_in_every_process():
    code = dedent(
        """
        import datetime
        from decimal import Decimal
        from uuid import UUID
        from cache_invalidation.reads.arguments import Signature
        def page(*args, **kwargs): ...
        signature = Signature(page, "page")
        values = frozenset({"a", "b", "c", "d"}), Decimal("1.5"), UUID(int=1)
        print(signature.key(signature.bind(values, {"day": datetime.date(2026, 1, 2), "a": "x"})))
        """
    )
    found = set()
    for seed in ("1", "2", "3"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        result = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(result.stdout)
    assert len(found) == 1


def test_keys_stay_short_whatever_the_arguments():
    assert len(key(page, "x" * 10_000)) < 100


@pytest.mark.parametrize("name", ["shop.page", "a" * 16, "a:b", "shop.page-number"])
def test_the_name_of_the_function_is_found_in_its_keys(name: str):
    signature = Signature(page, name)
    assert Signature.name_in(signature.key({"number": 1})) == name
    assert Signature.name_in(signature.key({})) == name
