"""`explain`: what a save would make stale, said without doing anything."""

import json
from typing import Any

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connections
from django.db.models import F, Model
from django.test.utils import CaptureQueriesContext
from model_bakery import baker

from cache_invalidation import ModelInvalidation, cached, explain, invalidate, registry
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from tests.delivered import commands, delivered
from tests.ruled import in_force
from tests.testapp.models import Category, Place, Product, ProductProxy, Restaurant, Unregistered

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


class ProductRule(ModelInvalidation):
    tags = ["category:{category_id}", "homepage"]
    keys = ["product:{pk}"]
    patterns = ["list:{category_id}:*"]
    entity_type = "article"


_rule = in_force({Product: ProductRule})


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
    assert set(effects) == {"PlaceRule", "RestaurantRule", "built in"}  # That of a grandchild.
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
        "operation": "save",
        "rules": [
            {
                "rule": f"{__name__}.ProductRule",
                "model": "testapp.product",
                "operation": "update",
                "entity_type": "article",
                "fields": None,
                "tags": ["category:7", "homepage", "testapp.product", "testapp.product:42"],
                "keys": ["product:42"],
                "patterns": ["list:7:*"],
                "stays": [],
            }
        ],
        "reads": [],
        "notes": [],
    }


def test_fields_that_did_not_change_keep_a_rule_quiet_here_too_and_are_named():
    class Rule(ModelInvalidation):
        tags = ["homepage"]
        fields = ["name", "category"]

    product = baker.make(Product)
    with registry.override(Product, Rule):
        product.stock += 1
        explained = explain(product)
        assert "homepage" not in explained.tags
        assert "Rule (if category or name changes)\n" in str(explained)
        assert explained.as_dict()["rules"][0]["fields"] == ["category", "name"]
        product.name = "changed"
        assert "homepage" in explain(product).tags


def test_a_row_that_does_not_exist_yet_would_be_created():
    category = baker.make(Category)
    explained = explain(Product(pk=42, name="x", category=category))
    assert explained.tags >= {"testapp.product:42", f"category:{category.pk}"}
    assert [effect.operation for effect in explained.effects] == ["create"]
    assert explained.notes == ()


def test_braces_stand_for_a_key_that_the_database_has_not_given_yet():
    explained = explain(Product(name="x", category=baker.make(Category, pk=7)))
    assert explained.subject == "testapp.product:{pk}"
    assert explained.tags == {"category:7", "homepage", "testapp.product", "testapp.product:{pk}"}
    assert explained.keys == {"product:{pk}"}
    assert "braces" in explained.notes[0]
    assert explain(Restaurant(name="x")).tags == {
        "testapp.place",
        "testapp.place:{pk}",
        "testapp.restaurant",
        "testapp.restaurant:{pk}",
    }


def test_a_new_parent_is_nobodys_parent_yet():
    class Rule(ModelInvalidation):
        tags = ["cuisine:{cuisine}"]

    with registry.override(Restaurant, Rule):
        assert explain(Place(name="x")).tags == {"testapp.place", "testapp.place:{pk}"}


def test_braces_stand_for_what_the_database_computes(moved):
    moved.category_id = F("featured_in_id")
    explained = explain(moved)
    found = {tag for tag in explained.tags if tag.startswith("category:")}
    old = Product.objects.get(pk=moved.pk).category_id
    assert found == {f"category:{old}", "category:{category_id}"}
    assert "braces" in explained.notes[0]


def test_related_objects_that_the_program_holds_are_not_taken_for_their_rows():
    class Rule(ModelInvalidation):
        tags = ["slug:{category__slug}"]

    category = baker.make(Category, slug="tea")
    product = baker.make(Product, category=category)
    category.slug = "not saved"
    with registry.override(Product, Rule):
        assert {tag for tag in explain(product).tags if "slug" in tag} == {"slug:tea"}
    assert product.category is category


def test_a_model_without_rules_has_the_one_that_is_built_in():
    with registry.override(Unregistered, None):
        explained = explain(baker.make(Unregistered, pk=1))
        assert str(explained).splitlines() == [
            "testapp.unregistered:1",
            "  built in",
            "    tag     testapp.unregistered",
            "    tag     testapp.unregistered:1",
        ]
        assert Unregistered not in registry.rules


def test_the_built_in_rule_of_a_parent_says_so():
    with registry.override(Place, None), registry.override(Restaurant, None):
        lines = str(explain(baker.make(Restaurant, pk=5))).splitlines()
    assert lines[:2] == ["testapp.restaurant:5", "  built in for testapp.place"]
    assert "  built in" in lines


def test_it_says_that_nobody_watches_an_excluded_model(settings):
    settings.CACHE_INVALIDATION = {"EXCLUDE": ["testapp.Unregistered"]}
    row = baker.make(Unregistered, pk=1)
    for subject in (row, Unregistered, Unregistered.objects.all()):
        for operation in ("save", "delete"):
            explained = explain(subject, operation=operation)
            assert (explained.effects, explained.tags) == ((), frozenset())
            assert explained.notes == (
                "Nobody watches testapp.Unregistered: see EXCLUDE in CACHE_INVALIDATION.",
            )
    assert str(explain(row)).startswith("testapp.unregistered:1\n  Nobody watches")


def test_a_queryset_is_explained_as_if_each_row_were_written():
    class Rule(ProductRule):
        fields = ["name"]

    one, two, _ = baker.make(Product, _quantity=3, _fill_optional=["category"])
    rows = Product.objects.filter(pk__in=[one.pk, two.pk])
    with registry.override(Product, None), registry.override(Product, Rule):
        explained = explain(rows)
        assert explained.tags == invalidate(rows).tags
    assert explained.subject == "2 rows of testapp.product"
    assert explained.keys == {f"product:{one.pk}", f"product:{two.pk}"}
    assert [effect.operation for effect in explained.effects] == ["write"]


def test_of_a_queryset_with_many_rows_it_says_what_a_write_to_any_row_does(settings):
    settings.CACHE_INVALIDATION = {"ROW_TAG_LIMIT": 2}
    baker.make(Product, _quantity=2)
    assert explain(Product.objects.all()).subject == "2 rows of testapp.product"
    baker.make(Product)
    explained = explain(Product.objects.all())
    assert explained.subject == "any row of testapp.product (there are more than 2)"
    assert explained.effects == explain(Product).effects
    assert explained.tags == {"category:*", "homepage", "testapp.product", "testapp.product:*"}
    assert explained.patterns == {"product:*", "list:*:*"}
    assert explain(Product.objects.all()[:1]).subject.startswith("testapp.product:")


def test_of_a_queryset_without_rows_it_says_so():
    explained = explain(Product.objects.none())
    assert (explained.subject, explained.effects) == ("no row of testapp.product", ())
    assert explained.notes == ("No row matches, so nothing would be invalidated.",)


def test_a_model_stands_for_rows_that_are_not_known():
    explained = explain(ProductProxy)
    assert explained.subject == "any row of testapp.product"
    assert explained.tags == invalidate(ProductProxy).tags
    assert explained.patterns == invalidate(ProductProxy).patterns


@pytest.mark.parametrize(
    "target", [None, 42, "testapp.Product", object, Model, Product.objects, AbstractBaseUser]
)
def test_what_cannot_be_written_is_refused(target):
    with pytest.raises(TypeError, match=r"explain\(\) takes|has no table"):
        explain(target)


def test_a_queryset_has_to_yield_instances():
    with pytest.raises(TypeError, match=r"without values\(\)"):
        explain(Product.objects.values("name"))


def test_an_operation_that_does_not_exist_is_refused(moved):
    with pytest.raises(ValueError, match="'save' or 'delete', not 'update'"):
        explain(moved, operation="update")  # type: ignore[arg-type]


def test_another_database_may_be_named():
    one = baker.make(Product, category=baker.make(Category, pk=7))
    baker.make(
        Product, pk=one.pk, category=baker.make(Category, pk=8, _using="other"), _using="other"
    )
    assert "category:8" not in explain(one).tags
    assert explain(one, using="other").tags >= {"category:7", "category:8"}


def test_the_row_is_read_from_the_database_that_the_instance_came_from():
    one, two = (baker.make(Category, _using="other") for _ in range(2))
    product = baker.make(Product, category=one, _using="other")
    product.category = two
    assert explain(product).tags >= {f"category:{one.pk}", f"category:{two.pk}"}
