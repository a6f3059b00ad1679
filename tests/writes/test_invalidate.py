"""`invalidate` and `no_invalidation`: saying by hand what no signal tells, and keeping quiet."""

import pytest
from django.core.cache import cache
from django.db import transaction
from model_bakery import baker

from cache_invalidation import (
    Invalidation,
    ModelInvalidation,
    cached,
    invalidate,
    no_invalidation,
    registry,
)
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from tests.delivered import delivered
from tests.ruled import in_force
from tests.testapp.models import Category, Product, ProductProxy, Unregistered

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


class Rule(ModelInvalidation):
    tags = ["category:{category_id}"]
    keys = ["product:{pk}"]
    patterns = ["list:{category_id}:*"]


_rules = in_force({Product: Rule, Unregistered: None})


def test_an_instance_counts_as_saved():
    product = baker.make(Product, category=baker.make(Category))
    with delivered() as found:
        returned = invalidate(product)
    assert found.tags == returned.tags
    assert returned.tags == {
        "testapp.product",
        f"testapp.product:{product.pk}",
        f"category:{product.category_id}",
    }
    assert returned.keys == {f"product:{product.pk}"}
    assert returned.patterns == {f"list:{product.category_id}:*"}
    assert (returned.entity_type, returned.cause) == ("testapp.product", "manual")


@pytest.mark.parametrize("model", [Product, ProductProxy])
def test_a_model_counts_as_if_all_its_rows_had_been_saved(model):
    returned = invalidate(model)
    assert returned.tags == {"testapp.product", "testapp.product:*", "category:*"}
    assert not returned.keys
    assert returned.patterns == {"product:*", "list:*:*"}


def test_a_queryset_counts_as_if_each_row_in_it_had_been_saved():
    products = baker.make(Product, 3)
    returned = invalidate(Product.objects.filter(pk__in=[p.pk for p in products[:2]]))
    assert returned.keys == {f"product:{product.pk}" for product in products[:2]}
    assert invalidate(Product.objects.none()) == Invalidation(entity_type="manual")


def test_names_are_invalidated_as_they_are():
    cache.set_many({"front": 1, "list:1": 1, "list:2": 1, "other": 1})
    with delivered() as found:
        invalidate(tags=["homepage", "category:*"], keys={"front"}, patterns=("list:*",))
    assert found.tags == {"homepage", "category:*"}
    assert cache.get_many(["front", "list:1", "list:2", "other"]) == {"other": 1}


def test_a_model_that_nobody_registered_can_be_invalidated():
    row = baker.make(Unregistered)
    tag = f"testapp.unregistered:{row.pk}"
    assert invalidate(row).tags == {"testapp.unregistered", tag}
    assert invalidate(Unregistered).tags == {"testapp.unregistered", "testapp.unregistered:*"}


def test_outside_of_a_transaction_it_acts_at_once():
    calls: list[int] = []

    @cached(tags=["a"])
    def page():
        calls.append(1)
        return len(calls)

    assert page() == page() == 1
    invalidate(tags=["a"])
    assert page() == 2


def test_in_a_transaction_it_acts_at_commit_together_with_the_writes():
    with delivered() as found:
        with transaction.atomic():
            invalidate(tags=["a"])
            product = baker.make(Product)
            invalidate(tags=["b"])
            assert found == []
        assert len(found) == 1
        assert found.tags >= {"a", "b", f"testapp.product:{product.pk}"}


def test_after_a_rollback_it_never_was():
    with delivered() as found, pytest.raises(RuntimeError), transaction.atomic():
        invalidate(tags=["a"], keys=["b"])
        raise RuntimeError
    assert found == []


def test_it_belongs_to_the_database_named_or_to_that_of_the_instance():
    there = baker.make(Category, _using="other")
    with registry.override(Category, ModelInvalidation), delivered() as found:
        with transaction.atomic(using="other"):
            invalidate(tags=["at once"])
            assert found.tags == {"at once"}
            invalidate(tags=["later"], using="other")
            invalidate(there)
            assert found.tags == {"at once"}
        assert found.tags >= {"later", f"testapp.category:{there.pk}"}


def test_it_is_counted_with_its_cause_and_entity_type():
    product = baker.make(Product)
    reset_metrics()
    invalidate(product, cause="import")
    invalidate(tags=["a"])
    invalidate(tags=["a"], entity_type="page", cause="admin")
    metrics = read_metrics()
    assert metrics["invalidations_by_entity_type"] == {
        "manual": 1,
        "page": 1,
        "testapp.product": 1,
    }
    assert metrics["last_invalidation"] is not None
    assert metrics["last_invalidation"]["cause"] == "admin"
    assert metrics["last_invalidation"]["targets"]["tags"] == ["a"]


def test_deleting_every_key_leaves_what_this_package_needs(redis_client):
    calls: list[int] = []

    @cached(tags=["a"])
    def page():
        calls.append(1)

    page()
    invalidate(patterns=["*"], everything=True)
    page()
    assert len(calls) == 1


def test_a_rule_whose_bad_template_stands_for_every_key_cannot_be_run_by_mistake():
    class Careless(ModelInvalidation):
        keys = ["{slug}"]

    cache.set("somebody else's", 1)
    with registry.override(Product, Careless):
        invalidate(Product)
    assert cache.get("somebody else's") == 1


def test_writes_in_a_quiet_block_invalidate_nothing_and_explicit_calls_do():
    with delivered() as found:
        with no_invalidation():
            product = baker.make(Product)
            product.save()
            product.delete()
            assert found == []
            invalidate(tags=["explicit"])
        assert found.tags == {"explicit"}
        baker.make(Product)
        assert "testapp.product" in found.tags


def test_a_quiet_block_ends_also_when_it_raises():
    with pytest.raises(RuntimeError), no_invalidation():
        raise RuntimeError
    with delivered() as found:
        baker.make(Product)
    assert found.tags


def test_a_quiet_block_in_another_leaves_the_outer_one_quiet():
    with delivered() as found, no_invalidation():
        with no_invalidation():
            pass
        baker.make(Product)
        with pytest.raises(RuntimeError), no_invalidation():
            raise RuntimeError
        baker.make(Product)
    assert found == []


def test_quiet_also_decorates():
    @no_invalidation()
    def load() -> Product:
        return baker.make(Product)

    with delivered() as found:
        load()
        load()
        assert found == []
        baker.make(Product)
        assert found.tags
