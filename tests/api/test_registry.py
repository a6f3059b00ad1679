"""GET cache/registry: what a write to each model makes stale, and by which rule."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db.models.signals import post_migrate
from django.dispatch import Signal

from cache_invalidation import Invalidation, ModelInvalidation, Tag, cached
from cache_invalidation.rules.registry import registry
from cache_invalidation.testing import override_rules
from tests.api.conftest import Api
from tests.testapp.models import Category, Place, Product, Restaurant, Review

pytestmark = pytest.mark.django_db

stock_counted = Signal()


class ProductRule(ModelInvalidation):
    tags = ["category:{category_id}", Tag("homepage", fields=["slug", "name"])]
    keys = ["product-detail:{pk}"]
    patterns = ["product-list:{category_id}:*"]
    fields = ["price", "name"]
    ignore = ["stock"]
    volatile = ["price"]
    track = ["slug"]
    entity_type = "product"
    families = ["badge"]

    def get_tags(self, change: Any) -> Any:
        return ()


@cached(tags=["category:{number}"], timeout=60)
def shelf(number: int) -> int:
    return number


class PlaceRule(ModelInvalidation):
    tags = ["map"]


class BrokenRule(ModelInvalidation):
    tags = ["{pk}"]


def product_updated(event: Any) -> Invalidation:
    return Invalidation(tags=["shelf"])


def anything(event: Any) -> None:
    return None


def on_count(**kwargs: Any) -> None:
    return None


class OnMigrate:
    def __call__(self, **kwargs: Any) -> None:
        return None


on_migrate = OnMigrate()


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    rules = {Product: ProductRule, Place: PlaceRule, Category: BrokenRule, Review: None}
    with override_rules(rules):
        registry.on_event("product.updated", product_updated)
        registry.on_event("product.*", anything)
        registry.connect(stock_counted, on_count, sender=Product)
        registry.connect(post_migrate, on_migrate)
        yield
        registry.off_event(product_updated)
        registry.off_event(anything)
        registry.disconnect(stock_counted, on_count)
        registry.disconnect(post_migrate, on_migrate)


def models(data: Any) -> dict[str, Any]:
    return {entry["model"]: entry for entry in data["models"]}


def test_a_rule_is_shown_with_all_that_it_declares(api: Api):
    entry = models(api.get("cache/registry").data)["testapp.product"]
    assert entry["tags"] == [
        "testapp.product",
        "testapp.product:{pk}",
        "testapp.product.slug:{slug}",
    ]
    assert entry["rules"] == [
        {
            "rule": f"{__name__}.ProductRule",
            "model": "testapp.product",
            "entity_type": "product",
            "tags": ["category:{category_id}", "homepage"],
            "keys": ["product-detail:{pk}"],
            "patterns": ["product-list:{category_id}:*"],
            "fields": ["name", "price"],
            "own_fields": {"homepage": ["name", "slug"]},
            "ignore": ["stock"],
            "volatile": ["price"],
            "track": ["slug"],
            "code": ["get_tags"],
            "families": ["badge"],
            "defect": None,
        }
    ]


def test_each_of_several_rules_is_shown(api: Api):
    with override_rules({Product: [ProductRule, PlaceRule]}):
        entry = models(api.get("cache/registry").data)["testapp.product"]
    assert [rule["rule"] for rule in entry["rules"]] == [
        f"{__name__}.ProductRule",
        f"{__name__}.PlaceRule",
    ]
    assert entry["tags"].count("testapp.product") == 1


def test_every_watched_model_is_there_and_no_other(api: Api):
    found = models(api.get("cache/registry").data)
    assert list(found) == sorted(found)
    assert found["testapp.review"]["rules"] == []
    assert found["testapp.review"]["tags"] == ["testapp.review", "testapp.review:{pk}"]
    assert "testapp.product_tags" in found
    hidden = {"sessions.session", "cache_invalidation.auditentry", "testapp.productproxy"}
    assert hidden.isdisjoint(found)


def test_a_child_shows_the_rule_of_its_parent(api: Api):
    entry = models(api.get("cache/registry").data)[Restaurant._meta.label_lower]
    assert "testapp.place" in entry["tags"]
    assert [(r["rule"], r["model"]) for r in entry["rules"]] == [
        (f"{__name__}.PlaceRule", "testapp.place")
    ]


def test_a_rule_that_cannot_be_used_says_why(api: Api):
    (rule,) = models(api.get("cache/registry").data)["testapp.category"]["rules"]
    assert "literal family" in rule["defect"]


def test_functions_are_shown_with_what_they_declare(api: Api):
    found = {entry["function"]: entry for entry in api.get("cache/registry").data["functions"]}
    assert list(found) == sorted(found)
    assert found[f"{__name__}.shelf"] == {
        "function": f"{__name__}.shelf",
        "loaded": True,
        "tags": ["category:{number}"],
        "code": [],
        "found": [],
        "timeout": 60.0,
        "lock": False,
        "sample": None,
    }


def test_events_are_shown_with_their_subscribers(api: Api):
    found = {e["event"]: e["subscribers"] for e in api.get("cache/registry").data["events"]}
    assert found["product.updated"] == [f"{__name__}.product_updated"]
    assert found["product.*"] == [f"{__name__}.anything"]


def test_wired_signals_are_shown_by_name(api: Api):
    found = api.get("cache/registry").data["signals"]
    assert {
        "signal": f"{__name__}.stock_counted",
        "handler": f"{__name__}.on_count",
        "sender": "testapp.product",
    } in found
    assert {
        "signal": "django.db.models.signals.post_migrate",
        "handler": f"{__name__}.OnMigrate",
        "sender": None,
    } in found


def test_one_model_is_shown_with_the_signals_it_sends(api: Api):
    for spelling in ("testapp.product", "testapp.Product", "product"):
        data = api.get("cache/registry", model=spelling).data
        assert list(models(data)) == ["testapp.product"]
        assert data["events"] == []
        assert f"{__name__}.shelf" in [entry["function"] for entry in data["functions"]]
        assert [entry["handler"] for entry in data["signals"]] == [f"{__name__}.on_count"]


@pytest.mark.parametrize("model", ["testapp.nothing", "", "x", "sessions.session", "a.b.c"])
def test_a_model_that_is_not_watched_is_refused(api: Api, model: str):
    answer = api.get("cache/registry", model=model)
    assert (answer.status, list(answer.data)) == (400, ["model"])


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("PRODUCT-DETAIL", (["testapp.product"], [], [])),
        ("productrule", (["testapp.product"], [], [])),
        ("product.updated", ([], ["product.updated"], [])),
        ("post_migrate", ([], [], ["django.db.models.signals.post_migrate"])),
        ("no such thing", ([], [], [])),
    ],
)
def test_everything_can_be_searched(api: Api, search: str, expected: tuple[list[str], ...]):
    data = api.get("cache/registry", search=search).data
    found = (
        [entry["model"] for entry in data["models"]],
        [entry["event"] for entry in data["events"]],
        [entry["signal"] for entry in data["signals"]],
    )
    assert found == expected


def test_an_empty_search_finds_everything(api: Api):
    assert api.get("cache/registry", search="").data == api.get("cache/registry").data
