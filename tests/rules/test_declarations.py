"""Rules, fired by real writes: what each of them makes stale."""

from decimal import Decimal
from typing import Any

import pytest
from django.core.cache import cache
from django.db import transaction
from django.db.models import F
from model_bakery import baker

from cache_invalidation import Change, ModelInvalidation, cached, invalidate, registry
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from cache_invalidation.rules.templates import Template
from tests.delivered import delivered, update_behind_the_back
from tests.testapp.models import Category, Product, Review

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


def rule(**attributes: Any) -> type[ModelInvalidation]:
    return type("Rule", (ModelInvalidation,), attributes)


def override(**attributes: Any) -> Any:
    return registry.override(Product, rule(**attributes))


def test_a_rule_that_declares_nothing_drops_the_tags_of_the_row_and_of_the_model():
    with override(), delivered() as found:
        product = baker.make(Product)
        assert found.tags == {"testapp.product", f"testapp.product:{product.pk}"}
        found.clear()
        product.save()
        assert found.tags == {"testapp.product", f"testapp.product:{product.pk}"}
        found.clear()
        key = product.pk
        product.delete()
        assert found.tags == {"testapp.product", f"testapp.product:{key}"}


@pytest.mark.parametrize("using", ["default", "sqlite"])
def test_a_moved_row_drops_what_depends_on_where_it_was_and_on_where_it_is(using):
    one, two, three = baker.make(Category, 3, _using=using)
    with override(tags=["category:{category_id}", "homepage"]), delivered() as found:
        product = Product.objects.using(using).create(name="x", category=one)
        assert found.tags >= {f"category:{one.pk}", "homepage"}
        found.clear()
        product.category = two
        product.save()
        assert found.family("category") == {f"category:{one.pk}", f"category:{two.pk}"}
        found.clear()
        # The old value is that of the database, not what the instance was loaded with.
        Product.objects.using(using).filter(pk=product.pk).update(category=three)
        product.save()
        assert found.family("category") >= {f"category:{two.pk}", f"category:{three.pk}"}
        found.clear()
        product.delete()
        assert found.family("category") == {f"category:{two.pk}"}


def test_lookups_follow_relations_on_both_sides_of_the_write():
    shoes, hats = (baker.make(Category, slug=slug) for slug in ("shoes", "hats"))
    review = baker.make(Review, product__category=shoes)
    tags = ["category:{product__category__slug}"]
    with registry.override(Review, rule(tags=tags)), delivered() as found:
        review.product = baker.make(Product, category=hats)
        review.save()
    assert found.family("category") == {"category:shoes", "category:hats"}


def test_a_null_relation_is_spelled_none():
    with override(tags=["slug:{category__slug}", "id:{category_id}"]), delivered() as found:
        baker.make(Product, category=None)
    assert found.tags >= {"slug:None", "id:None"}


def test_plain_keys_are_deleted_with_their_old_and_new_names():
    product = baker.make(Product, slug="old")
    cache.set_many({"product:old": 1, "product:new": 1, "product:other": 1, "front": 1})
    with override(keys=["product:{slug}", "front"]):
        product.slug = "new"
        product.save()
    assert cache.get_many(["product:old", "product:new", "product:other", "front"]) == {
        "product:other": 1
    }


def test_patterns_delete_what_matches_and_take_values_literally():
    keys = ["list:a*:1", "list:a*:2", "list:ab:1", "other:a*:1"]
    cache.set_many(dict.fromkeys(keys, 1))
    with override(patterns=["list:{slug}:*"]):
        baker.make(Product, slug="a*")
    assert set(cache.get_many(keys)) == {"list:ab:1", "other:a*:1"}


@pytest.mark.parametrize("field", ["category", "category_id"])
def test_what_a_rule_declares_waits_for_a_change_of_one_of_its_fields(field):
    product, category = baker.make(Product, name="x"), baker.make(Category)
    with override(tags=["homepage"], fields=["name", field]), delivered() as found:
        product.stock += 1
        product.save()
        assert found.tags == {"testapp.product", f"testapp.product:{product.pk}"}
        product.category = category
        product.save()
        assert "homepage" in found.tags
        found.clear()
        product.name = "y"
        product.save(update_fields=["name"])
        assert "homepage" in found.tags
        found.clear()
        product.name = "unsaved"
        product.save(update_fields=["stock"])
        assert "homepage" not in found.tags


def test_creating_and_deleting_a_row_changes_all_of_its_fields():
    with override(tags=["homepage"], fields=["name"]), delivered() as found:
        product = baker.make(Product)
        assert "homepage" in found.tags
        found.clear()
        product.delete()
        assert "homepage" in found.tags


@pytest.mark.parametrize(("field", "same"), [("stock", "5"), ("price", "1.5"), ("name", "x")])
def test_a_value_of_another_type_is_no_change(field, same):
    product = baker.make(Product, name="x", stock=5, price=Decimal("1.50"))
    with override(tags=["homepage"], fields=[field]), delivered() as found:
        setattr(product, field, same)
        product.save()
    assert found.tags
    assert "homepage" not in found.tags


@pytest.mark.parametrize(
    ("values", "tag"),
    [
        ({"stock": "3"}, "stock:3"),
        ({"stock": 3}, "stock:3"),
        ({"price": Decimal(1)}, "price:1"),
        ({"price": "1.5"}, "price:1.5"),
        ({"price": 2.25}, "price:2.25"),
    ],
)
def test_a_tag_has_the_value_that_a_reader_finds_in_the_database(values, tag):
    with override(tags=["stock:{stock}", "price:{price}"]), delivered() as found:
        product = Product.objects.create(name="x", **values)
    name = tag.partition(":")[0]
    assert found.family(name) == {tag}
    stored = getattr(Product.objects.get(pk=product.pk), name)
    assert Template(name + ":{value}").render(lambda _: stored) == tag


def test_keys_that_are_strings_are_those_of_the_database():
    category = baker.make(Category)
    with override(tags=["category:{category}", "product:{pk}"]), delivered() as found:
        Product(pk="7", name="x", category_id=str(category.pk)).save()
    assert found.tags >= {"testapp.product:7", "product:7", f"category:{category.pk}"}


def test_an_expression_counts_with_the_value_that_the_database_made_of_it():
    product = baker.make(Product, stock=5)
    with override(tags=["stock:{stock}"]), delivered() as found:
        product.stock = F("stock") + 1
        product.save(update_fields=["stock"])
    assert found.family("stock") == {"stock:5", "stock:6"}


def test_attributes_that_are_not_written_do_not_count():
    one, two = baker.make(Category, 2)
    product = baker.make(Product, category=one)
    with override(tags=["category:{category_id}"]), delivered() as found:
        product.category, product.name = two, "new"
        product.save(update_fields=["name"])
    assert found.family("category") == {f"category:{one.pk}"}


def test_a_property_can_be_named(monkeypatch):
    shelf = property(lambda self: f"{self.stock // 10}0s")
    monkeypatch.setattr(Product, "shelf", shelf, raising=False)
    product = baker.make(Product, stock=5)
    with override(tags=["shelf:{shelf}"]), delivered() as found:
        product.stock = 12
        product.save()
    assert found.family("shelf") == {"shelf:00s", "shelf:10s"}


def test_code_gets_the_change_and_adds_tags_keys_and_patterns():
    changes = []

    class Rule(ModelInvalidation):
        def get_tags(self, change: Change) -> list[str]:
            changes.append(change)
            return [f"{change.operation}:{state.name}" for state in change.instances]  # type: ignore[attr-defined]

        def get_keys(self, change: Change) -> set[str]:
            return {f"key:{change.pk}"}

        def get_patterns(self, change: Change):
            yield f"pattern:{change.pk}:*"

    with registry.override(Product, Rule), delivered() as found:
        product = baker.make(Product, name="a")
        product.name = "b"
        product.save()
        key = product.pk
        product.delete()
    assert found.tags >= {"create:a", "update:a", "update:b", "delete:b"}
    assert found.keys == {f"key:{key}"}
    assert found.patterns == {f"pattern:{key}:*"}
    assert [change.operation for change in changes] == ["create", "update", "delete"]
    assert {(change.model, change.using, change.pk) for change in changes} == {
        (Product, "default", key)
    }


def test_a_long_tag_from_code_is_shortened_as_the_reader_shortens_it():
    name = "x" * 300

    @cached(tags=["name:{name}"])
    def count(name):
        return Product.objects.filter(name=name[:100]).count()

    class Rule(ModelInvalidation):
        families = ["name"]

        def get_tags(self, change: Change) -> list[str]:
            return [f"name:{name}"]

    with registry.override(Product, Rule):
        assert count(name) == 0
        baker.make(Product, name=name[:100])
        assert count(name) == 1


def test_invalidations_are_counted_by_the_entity_type_of_the_rule():
    reset_metrics()
    with override(entity_type="article"), registry.override(Category, rule()):
        baker.make(Product)
        baker.make(Category)
        counted = read_metrics()["invalidations_by_entity_type"]
    assert counted == {"article": 1, "testapp.category": 1}


def test_rows_of_unknown_identity_stand_for_all_rows_and_all_values():
    attributes = {
        "tags": ["category:{category_id}:{slug}", "homepage"],
        "keys": ["product:{pk}", "front"],
        "patterns": ["list:{category_id}:*"],
    }
    with override(**attributes), delivered() as found:
        invalidate(Product)
    assert found.tags == {"testapp.product", "testapp.product:*", "category:*", "homepage"}
    assert found.keys == {"front"}
    assert found.patterns == {"product:*", "list:*:*"}


def test_readers_of_single_values_notice_that_unknown_rows_changed():
    @cached(tags=["slug:{slug}"])
    def count(slug):
        return Product.objects.filter(slug=slug).count()

    with override(tags=["slug:{slug}"]):
        product = baker.make(Product, slug="b")
        assert count("a") == 0
        update_behind_the_back(Product.objects.filter(pk=product.pk), slug="a")
        assert count("a") == 0
        invalidate(Product)
        assert count("a") == 1


def test_many_rows_in_one_transaction_collapse_into_their_family(settings):
    settings.CACHE_INVALIDATION = {"ROW_TAG_LIMIT": 3}
    with override(tags=["stock:{stock}"]), delivered() as found, transaction.atomic():
        for _ in range(4):
            baker.make(Product, stock=1)
    assert found.tags == {"testapp.product", "testapp.product:*", "stock:1"}
