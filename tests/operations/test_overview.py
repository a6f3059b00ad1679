"""What depends on what, as REST and the admin tell it."""

from typing import Any

import pytest

from cache_invalidation import ModelInvalidation, cached
from cache_invalidation.explain.known import Known
from cache_invalidation.explain.readers import FunctionEntry, dependent_on, reads
from cache_invalidation.operations.overview import overview
from cache_invalidation.stores import get_store
from tests.outages import down, use
from tests.ruled import in_force
from tests.testapp.models import Category, Product

__all__ = ["down", "use"]


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
        "loaded": True,
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
        "loaded": True,
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


@pytest.mark.django_db(transaction=True)
def test_what_other_processes_tell_of_is_shown():
    learned = {
        "overview.elsewhere": ["testapp.product:*"],
        "page:shop.views.cart": ["testapp.product", "testapp.category:*"],
        "block:shop/base.html:menu": ["testapp.category"],
    }
    get_store().count({"hits:page:shop.views.start": 1}, learned=learned)
    found = overview(search="shop.views")
    assert found["pages"] == [
        {"page": "shop.views.cart", "found": ["testapp.category:*", "testapp.product"]},
        {"page": "shop.views.start", "found": []},
    ]
    assert overview(search="shop/base.html")["blocks"] == [
        {"block": "shop/base.html:menu", "found": ["testapp.category"]}
    ]
    (function,) = overview(search="overview.elsewhere")["functions"]
    assert function == {
        "function": "overview.elsewhere",
        "loaded": False,
        "tags": None,
        "code": [],
        "found": ["testapp.product:*"],
        "timeout": None,
        "lock": False,
        "sample": None,
    }
    of_product = overview(Product)
    assert "shop.views.cart" in [page["page"] for page in of_product["pages"]]
    assert "shop/base.html:menu" not in [block["block"] for block in of_product["blocks"]]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("testapp.product", ["page:shop.views.cart"]),
        ("testapp.product:3", ["dependent.row"]),
        ("dependent.row()", ["dependent.row"]),
        ("page:shop.views.cart", ["page:shop.views.cart"]),
        ("page:*", ["page:shop.views.cart"]),
        ("block:shop/base.html", ["block:shop/base.html:menu"]),
        ("block:shop/base", []),
        ("*", ["block:shop/base.html:menu", "dependent.row", "page:shop.views.cart"]),
    ],
)
def test_what_depends_on_a_tag_is_known(tag: str, expected: list[str]):
    learned = {
        "dependent.row": ["testapp.product:*"],
        "page:shop.views.cart": ["testapp.product"],
        "block:shop/base.html:menu": ["testapp.tag"],
    }
    get_store().count({}, learned=learned)
    found = [name for name in dependent_on([tag], Known()) if name in learned]
    assert sorted(found) == expected


@pytest.mark.django_db(transaction=True)
def test_during_an_outage_what_this_process_knows_is_shown(down: Any):
    assert entry_of(page)


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
