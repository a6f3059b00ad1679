"""Values that a text field takes for another text than they look like."""

import enum
from collections.abc import Callable
from typing import Any

import pytest

from cache_invalidation import ModelInvalidation, cached, registry
from tests.testapp.models import Category
from tests.testapp.stored import KeyedByText

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


class Color(enum.Enum):
    RED = "red"


class Number(int, enum.Enum):
    ONE = 1


class Word(str, enum.Enum):  # noqa: UP042 - a StrEnum has the `str()` of its value
    X = "x"


class Loud(str):
    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


#: What is given, and what is stored.
TEXTS = [(Color.RED, "Color.RED"), (Number.ONE, "Number.ONE"), (Word.X, "x"), (Loud("x"), "x")]

texts = pytest.mark.parametrize(("given", "stored"), TEXTS, ids=lambda text: repr(text))


def _create(rows: Any, **values: Any) -> None:
    rows.create(**values)


def _update(rows: Any, **values: Any) -> None:
    rows.update(**values)


def _bulk_create(rows: Any, **values: Any) -> None:
    rows.bulk_create([rows.model(**values)])


@texts
@pytest.mark.parametrize("write", [_create, _update, _bulk_create])
def test_a_lookup_by_the_text_that_is_stored_is_fresh(
    using: str, given: Any, stored: str, write: Callable[..., None]
) -> None:
    Category.objects.using(using).create(name="other")

    @cached(name="by text")
    def found(name: str) -> int:
        return Category.objects.using(using).filter(name=name).count()

    with registry.override(Category, type("Rule", (ModelInvalidation,), {"track": ["name"]})):
        assert found(stored) == found(given) == 0
        write(Category.objects.using(using), name=given)
        assert found(stored) == found(given) == 1


@texts
@pytest.mark.parametrize("write", [_create, _bulk_create])
def test_a_row_whose_key_is_such_a_text_is_told_without_any_rule(
    using: str, given: Any, stored: str, write: Callable[..., None]
) -> None:
    @cached(name="there by text")
    def is_there(code: str) -> bool:
        return KeyedByText.objects.using(using).filter(pk=code).exists()

    assert not is_there(stored)
    write(KeyedByText.objects.using(using), code=given)
    assert is_there(stored)


@texts
def test_a_plain_key_has_the_text_that_is_stored(deliveries: Any, given: Any, stored: str) -> None:
    rule = type("Rule", (ModelInvalidation,), {"keys": ["category-{name}"]})
    with registry.override(Category, rule):
        Category.objects.create(name=given)
    assert f"category-{stored}" in deliveries.keys
