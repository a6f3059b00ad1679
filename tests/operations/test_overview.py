"""What depends on what, as REST and the admin tell it."""

from typing import Any

import pytest

from cache_invalidation import ModelInvalidation, cached
from cache_invalidation.operations.overview import FunctionEntry, overview, reads
from tests.ruled import in_force
from tests.testapp.models import Category, Product


class Rule(ModelInvalidation):
    tags = ["overview:{category_id}"]
    track = ["category"]


def more(number: int) -> str:
    return "homepage"


@cached(tags=["overview:{number}", Category, more], timeout=None, lock=True, sample=0.5)
def page(number: int) -> int:
    return number


@cached
def found_out() -> int:
    return 1


rule = in_force({Product: Rule})


def entry_of(function: Any, **which: Any) -> FunctionEntry | None:
    name = function.signature.name
    found = [entry for entry in overview(**which)["functions"] if entry["function"] == name]
    return found[0] if found else None


def test_a_function_is_shown_with_all_that_it_declares():
    assert entry_of(page) == {
        "function": f"{__name__}.page",
        "tags": ["overview:{number}", "testapp.category"],
        "code": [f"{__name__}.more"],
        "found": [],
        "timeout": None,
        "lock": True,
        "sample": 0.5,
    }


def test_a_function_that_finds_out_has_no_tags(settings):
    settings.CACHE_INVALIDATION = {"DEFAULT_TIMEOUT": 77}
    assert entry_of(found_out) == {
        "function": f"{__name__}.found_out",
        "tags": None,
        "code": [],
        "found": [],
        "timeout": 77,
        "lock": False,
        "sample": None,
    }


def test_with_a_model_only_what_depends_on_it_is_shown():
    assert entry_of(page, model=Product)
    assert entry_of(page, model=Category)
    assert not entry_of(found_out, model=Product)


@pytest.mark.django_db(transaction=True)
def test_what_a_function_finds_out_is_shown_once_it_was_called():
    @cached(name="overview.names")
    def names() -> list[str]:
        return list(Product.objects.values_list("name", flat=True))

    @cached(name="overview.row")
    def row(pk: int) -> bool:
        return Product.objects.filter(pk=pk).exists()

    assert not entry_of(names, model=Product)
    names()
    row(1)
    (found, one) = entry_of(names), entry_of(row)
    assert found
    assert found["found"] == ["testapp.product"]
    assert one
    assert one["found"] == ["testapp.product:*"]
    assert entry_of(names, model=Product)
    assert entry_of(row, model=Product)
    assert not entry_of(names, model=Category)


def test_functions_can_be_searched():
    assert entry_of(page, search="OVERVIEW:{")
    assert entry_of(page, search="test_overview.more")
    assert not entry_of(found_out, search="overview:{")


def test_what_a_rule_tracks_goes_with_every_write():
    (entry,) = overview(Product)["models"]
    assert entry["tags"] == [
        "testapp.product",
        "testapp.product:{pk}",
        "testapp.product.category_id:{category_id}",
    ]


@pytest.mark.parametrize(
    ("declared", "dropped", "meets"),
    [
        ("homepage", "homepage", True),
        ("homepage", "homepages", False),
        ("category:{x}", "category:{category_id}", True),
        ("category:3", "category:{category_id}", True),
        ("category", "category:{category_id}", False),
        ("categories:{x}", "category:{category_id}", False),
    ],
)
def test_a_function_reads_what_may_be_the_same_tag(declared: str, dropped: str, meets: bool):
    entry = entry_of(found_out)
    assert entry
    assert reads({**entry, "tags": [declared]}, dropped) is meets
    assert not reads(entry, dropped)
