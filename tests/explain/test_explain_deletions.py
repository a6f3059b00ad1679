"""`explain(…, operation="delete")`: what goes along with a row, found without deleting it."""

from typing import Any

import django
import pytest
from django.db import models
from django.db.models import DO_NOTHING, PROTECT, RESTRICT, Field
from django.db.models.signals import post_delete
from model_bakery import baker

from cache_invalidation import ModelInvalidation, explain, registry
from cache_invalidation.observing import cascades
from cache_invalidation.tags import collapse
from tests.delivered import delivered
from tests.testapp.models import Category, Place, Product, ProductProxy, Restaurant, Review
from tests.testapp.unusual import Shop

pytestmark = pytest.mark.django_db(transaction=True)


class ProductRule(ModelInvalidation):
    tags = ["category:{category_id}", "featured:{featured_in_id}"]
    keys = ["product:{pk}:{name}"]


class ReviewRule(ModelInvalidation):
    tags = ["product-of:{product__slug}"]


@pytest.fixture
def category() -> Category:
    """A category with a product that goes along, reviewed, and one that is only featured there."""
    found = baker.make(Category, pk=7)
    product = baker.make(Product, pk=42, slug="espresso", category=found)
    baker.make(Product, pk=43, featured_in=found, category=baker.make(Category, pk=8))
    baker.make(Review, pk=1, product=product)
    return found


@pytest.fixture
def on_delete(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that has a foreign key do something else on deletion."""

    def set_to(field: Any, handler: Any) -> None:
        monkeypatch.setattr(field.remote_field, "on_delete", handler)
        cascades.deleted_with.cache_clear()

    yield set_to
    monkeypatch.undo()
    cascades.deleted_with.cache_clear()


def field_of(model: Any, name: str) -> "Field[Any, Any]":
    return model._meta.get_field(name)  # type: ignore[no-any-return]


@pytest.mark.parametrize("product_rule", [None, ProductRule])
@pytest.mark.parametrize("review_rule", [None, ReviewRule])
def test_it_says_what_the_deletion_does(category, product_rule, review_rule):
    with registry.override(Product, product_rule), registry.override(Review, review_rule):
        explained = explain(category, operation="delete")
        with delivered() as found:
            category.delete()
    # In one batch, "any product" stands for each of them.
    assert collapse(explained.tags, limit=500) == found.tags
    assert explained.keys == found.keys
    assert explained.patterns == found.patterns


@pytest.mark.parametrize("rule", [None, ProductRule])
@pytest.mark.parametrize("is_heard", [False, True])
def test_it_says_what_becomes_of_relations(category, rule, is_heard):
    def hear(**kwargs: Any) -> None:
        """Have Django load the relations that go along."""

    product = Product.objects.get(pk=42)
    product.tags.create(pk=1, name="new")
    with registry.override(Product, rule):
        if is_heard:
            post_delete.connect(hear)
        try:
            explained = explain(product, operation="delete")
            with delivered() as found:
                product.delete()
        finally:
            post_delete.disconnect(hear)
    ends = [{tag for tag in each if "+m2m" in tag} for each in (explained.tags, found.tags)]
    assert ends[0] == ends[1]
    assert ("testapp.tag+m2m:*" in found.tags) is (is_heard and rule is None)


@pytest.mark.parametrize("rule", [None, ProductRule])
def test_it_says_what_the_deletion_of_a_queryset_does(category, rule):
    rows = Product.objects.filter(pk__in=[42, 43])
    with registry.override(Product, rule):
        explained = explain(rows, operation="delete")
        with delivered() as found:
            rows.delete()
    assert explained.subject == "2 rows of testapp.product"
    assert explained.tags == found.tags
    assert explained.keys == found.keys


@pytest.mark.parametrize("condition", [{"pk": 1}, {"rating": 0}, {"pk__in": [1, 9]}])
def test_rows_that_one_statement_deletes_are_those_that_it_names(category, condition):
    rows = Review.objects.filter(**condition)
    explained = explain(rows, operation="delete")
    with delivered() as found:
        rows.delete()
    assert explained.tags == found.tags


@pytest.mark.parametrize(
    "make",
    [
        lambda: Restaurant.objects.create(pk=5, name="x"),
        lambda: Place.objects.get(pk=Restaurant.objects.create(pk=5, name="x").pk),
        lambda: Shop.objects.create(id=5, code="a", name="x"),
        lambda: Place.objects.create(pk=5, name="x"),
    ],
)
def test_parents_and_children_go_together(make):
    row = make()
    explained = explain(row, operation="delete")
    with delivered() as found:
        row.delete()
    assert collapse(explained.tags, 500) == found.tags
    assert "testapp.place:5" in explained.tags


def test_its_text_has_a_branch_for_each_kind_of_write(category):
    with registry.override(Product, ProductRule):
        assert str(explain(category, operation="delete")).splitlines() == [
            "delete testapp.category:7",
            "  delete testapp.category",
            "    built in",
            "      tag     testapp.category",
            "      tag     testapp.category:7",
            "  delete testapp.product",
            f"    {__name__}.ProductRule",
            "      tag     category:7",
            "      tag     featured:None",
            "      tag     testapp.product",
            "      tag     testapp.product:42",
            f"      key     product:42:{Product.objects.get(pk=42).name}",
            "  delete testapp.review",
            "    built in",
            "      tag     testapp.review",
            "      tag     testapp.review:*",
            "  update testapp.product",
            f"    {__name__}.ProductRule",
            "      tag     category:8",
            "      tag     featured:7",
            "      tag     featured:None",
            "      tag     testapp.product",
            "      tag     testapp.product:43",
            f"      key     product:43:{Product.objects.get(pk=43).name}",
        ]


def test_its_dict_says_what_is_written_for_each_rule(category):
    found = explain(category, operation="delete").as_dict()
    assert found["operation"] == "delete"
    assert [(rule["operation"], rule["model"]) for rule in found["rules"]] == [
        ("delete", "testapp.category"),
        ("delete", "testapp.product"),
        ("delete", "testapp.review"),
        ("update", "testapp.product"),
    ]


@pytest.mark.parametrize("handler", [PROTECT, RESTRICT])
def test_a_deletion_that_would_be_refused_invalidates_nothing(category, on_delete, handler):
    on_delete(field_of(Product, "category"), handler)
    explained = explain(category, operation="delete")
    assert explained.effects == ()
    assert explained.notes[0].startswith("Django would refuse it: Cannot delete some instances")
    assert "testapp.product" not in {
        effect.model
        for effect in explain(Category, operation="delete").effects
        if effect.operation == "delete"
    }


def test_what_the_database_deletes_by_itself_counts(category, on_delete):
    on_delete(field_of(Review, "product"), DO_NOTHING)
    product = Product.objects.get(pk=42)
    for target in (product, Product.objects.filter(pk=42), Product, category):
        assert "testapp.review:*" in explain(target, operation="delete").tags
    assert "testapp.review:*" not in explain(product).tags


@pytest.mark.skipif(django.VERSION < (6, 1), reason="Django has no DB_CASCADE before 6.1")
def test_database_level_cascades_count_and_updates_are_told_from_deletions(category, on_delete):
    on_delete(field_of(Review, "product"), models.DB_CASCADE)  # type: ignore[attr-defined,unused-ignore]
    on_delete(field_of(Product, "category"), models.DB_SET_NULL)  # type: ignore[attr-defined,unused-ignore]
    found = explain(category, operation="delete")
    assert ("update", "testapp.product") in {(e.operation, e.model) for e in found.effects}
    assert "testapp.review" not in found.tags
    product = Product.objects.get(pk=42)
    assert "testapp.review:*" in explain(product, operation="delete").tags


def test_of_rows_that_are_not_known_it_follows_the_models(category):
    written = {
        (effect.operation, effect.model) for effect in explain(Category, operation="delete").effects
    }
    assert written >= {
        ("delete", "testapp.category"),
        ("delete", "testapp.product"),
        ("update", "testapp.product"),
        ("delete", "testapp.review"),
        ("delete", "testapp.product_tags"),
    }
    assert explain(Restaurant, operation="delete").tags >= {"testapp.place:*"}


def test_many_rows_are_taken_for_any_row(category, settings):
    settings.CACHE_INVALIDATION = {"ROW_TAG_LIMIT": 1}
    explained = explain(Category.objects.all(), operation="delete")
    assert explained.subject == "any row of testapp.category (there are more than 1)"
    assert explained.effects == explain(Category, operation="delete").effects


def test_many_rows_that_lose_a_reference_are_taken_for_any_row(category, settings):
    settings.CACHE_INVALIDATION = {"ROW_TAG_LIMIT": 1}
    baker.make(Product, featured_in=category)
    with registry.override(Product, ProductRule):
        explained = explain(category, operation="delete")
    updates = [effect for effect in explained.effects if effect.operation == "update"]
    assert {tag for effect in updates for tag in effect.tags} >= {"featured:*", "testapp.product:*"}


def test_a_row_that_is_not_there_cannot_be_deleted():
    for row in (Product(name="new"), Product(pk=99, name="gone")):
        explained = explain(row, operation="delete")
        assert explained.effects == ()
        assert explained.notes == ("There is no such row, so nothing would be deleted.",)


def test_a_proxy_is_deleted_like_its_table(category):
    proxy = ProductProxy.objects.get(pk=42)
    assert explain(proxy, operation="delete").tags >= {"testapp.product:42", "testapp.review:*"}


def test_a_slice_is_refused_as_django_does(category):
    with pytest.raises(TypeError, match="slice"):
        explain(Product.objects.all()[:1], operation="delete")
