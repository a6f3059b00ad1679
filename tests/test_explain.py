"""`explain`: what a save would make stale, said without doing anything."""

import json
from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from model_bakery import baker

from cache_invalidation import ModelInvalidation, cached, explain, registry
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from tests.observing import commands, delivered
from tests.testapp.models import Category, Place, Product, Restaurant, Unregistered

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


class ProductRule(ModelInvalidation):
    tags = ["category:{category_id}", "homepage"]
    keys = ["product:{pk}"]
    patterns = ["list:{category_id}:*"]
    entity_type = "article"


@pytest.fixture(autouse=True)
def _rule():
    with registry.override(Product, ProductRule):
        yield


@pytest.fixture
def moved() -> Any:
    """A product that was put into another category and not saved yet."""
    product = baker.make(Product, category=baker.make(Category))
    product.category = baker.make(Category)
    return product


def test_it_says_what_a_save_does(moved):
    explained = explain(moved)
    with delivered() as found:
        moved.save()
    assert explained.tags == found.tags
    assert explained.keys == found.keys
    assert explained.patterns == found.patterns
    assert len([tag for tag in explained.tags if tag.startswith("category:")]) == 2


def test_it_writes_nothing_invalidates_nothing_and_asks_for_one_row(moved, redis_client):
    calls = []

    @cached(tags=[Product, "homepage"])
    def page():
        calls.append(1)

    page()
    reset_metrics()
    queries = CaptureQueriesContext(connections["default"])
    with delivered() as found, commands(redis_client) as sent, queries:
        explain(moved)
    assert (found, sent) == ([], {})
    assert len(queries) == 1
    assert "FOR UPDATE" not in queries.captured_queries[0]["sql"]
    page()
    assert len(calls) == 1
    assert read_metrics()["invalidations_by_entity_type"] == {}
    assert Product.objects.get(pk=moved.pk).category_id != moved.category_id


def test_it_names_the_rules_and_what_each_of_them_contributes():
    place = baker.make(Restaurant, name="x", city="Rome")

    class PlaceRule(ModelInvalidation):
        tags = ["city:{city}"]

    class RestaurantRule(ModelInvalidation):
        keys = ["menu:{pk}"]

    with registry.override(Place, PlaceRule), registry.override(Restaurant, RestaurantRule):
        explained = explain(place)
    effects = {effect.rule.rpartition(".")[2]: effect for effect in explained.effects}
    assert set(effects) == {"PlaceRule", "RestaurantRule"}
    assert effects["PlaceRule"].rule == f"{__name__}.{PlaceRule.__qualname__}"
    assert effects["PlaceRule"].tags == ("city:Rome", "testapp.place", f"testapp.place:{place.pk}")
    assert effects["RestaurantRule"].keys == (f"menu:{place.pk}",)
    assert effects["PlaceRule"].entity_type == "testapp.place"


def test_its_text_is_a_tree_of_subject_rules_and_names():
    product = baker.make(Product, pk=42, category=baker.make(Category, pk=7))
    assert str(explain(product)).splitlines() == [
        "testapp.product:42",
        f"  {__name__}.ProductRule",
        "    tag     category:7",
        "    tag     homepage",
        "    tag     testapp.product",
        "    tag     testapp.product:42",
        "    key     product:42",
        "    pattern list:7:*",
    ]


def test_its_dict_is_ready_for_json():
    product = baker.make(Product, pk=42, category=baker.make(Category, pk=7))
    assert json.loads(json.dumps(explain(product).as_dict())) == {
        "subject": "testapp.product:42",
        "rules": [
            {
                "rule": f"{__name__}.ProductRule",
                "entity_type": "article",
                "tags": ["category:7", "homepage", "testapp.product", "testapp.product:42"],
                "keys": ["product:42"],
                "patterns": ["list:7:*"],
            }
        ],
    }


def test_fields_that_did_not_change_keep_a_rule_quiet_here_too():
    class Rule(ModelInvalidation):
        tags = ["homepage"]
        fields = ["name"]

    product = baker.make(Product)
    with registry.override(Product, Rule):
        product.stock += 1
        assert "homepage" not in explain(product).tags
        product.name = "changed"
        assert "homepage" in explain(product).tags


def test_a_row_that_does_not_exist_yet_would_be_created():
    category = baker.make(Category)
    explained = explain(Product(pk=42, name="x", category=category))
    assert explained.tags >= {"testapp.product:42", f"category:{category.pk}"}


def test_a_model_without_rules_has_nothing_to_explain_and_stays_without():
    with registry.override(Unregistered, None):
        explained = explain(baker.make(Unregistered, pk=1))
        assert (explained.effects, explained.tags) == ((), frozenset())
        assert str(explained) == "testapp.unregistered:1"
        assert not registry.plan(Unregistered)


def test_the_row_is_read_from_the_database_that_the_instance_came_from():
    one, two = (baker.make(Category, _using="other") for _ in range(2))
    product = baker.make(Product, category=one, _using="other")
    product.category = two
    assert explain(product).tags >= {f"category:{one.pk}", f"category:{two.pk}"}
