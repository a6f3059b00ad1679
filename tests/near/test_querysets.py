"""Rows of querysets in the memory of the process."""

from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from cache_invalidation.querysets import CachedQuerySet
from cache_invalidation.stores.redis.near import RedisNear
from tests.near.test_functions import kept
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(transaction=True)


def products(*, near: bool = True) -> CachedQuerySet[Product]:
    return CachedQuerySet(Product).order_by("pk").cached(near=near)


def names() -> list[str]:
    return [product.name for product in products()]


def test_a_hit_asks_nobody(store, product, monkeypatch):
    assert (names(), products().count(), products().get(pk=product.pk).name) == (["old"], 1, "old")
    with monkeypatch.context() as without, CaptureQueriesContext(connection) as queries:
        without.setattr(store, "_servers", None)
        assert names() == ["old"]
        assert products().count() == 1
        assert products().get(pk=product.pk).name == "old"
    assert not queries
    assert kept(store) == 3


def test_a_write_drops_it(store, product):
    assert (names(), names()) == (["old"], ["old"])
    assert kept(store) == 1
    Product.objects.update(name="new")
    assert kept(store) == 0
    assert names() == ["new"]


def test_each_caller_has_instances_of_its_own(store, product):
    for _ in range(3):
        (found,) = products()
        assert found.name == "old"
        found.name = "changed"
    assert kept(store) == 1


def test_what_can_be_changed_in_a_row_is_a_copy_for_each(store, product):
    for _ in range(3):
        (found,) = products().extra(select={"names": "ARRAY[name]"}).values_list("names", flat=True)
        assert found == ["old"]
        found.append("changed")


def test_so_are_the_rows_that_it_prefetches(store, product, monkeypatch):
    product.category = Category.objects.create(name="shelf")
    product.save()

    def shelves() -> list[Any]:
        return [
            each.category and each.category.name for each in products().prefetch_related("category")
        ]

    assert shelves() == ["shelf"]
    with monkeypatch.context() as without:
        without.setattr(store, "_servers", None)
        assert shelves() == ["shelf"]
    Category.objects.update(name="new")
    assert shelves() == ["new"]


def test_those_of_one_customer_are_not_those_of_another(store):
    for name in ("a", "b"):
        Product.objects.create(name=name)
    for name in ("a", "b", "a", "b"):
        assert [found.name for found in products().filter(name=name)] == [name]
    assert kept(store) == 2


def test_a_transaction_sees_what_it_has_written(store, product):
    assert (names(), names()) == (["old"], ["old"])
    with transaction.atomic():
        Product.objects.update(name="new")
        assert names() == ["new"]
        transaction.set_rollback(True)
    assert names() == ["old"]


def test_those_that_are_not_near_are_the_same_entry(store, product):
    assert [found.name for found in products(near=False)] == ["old"]
    assert kept(store) == 0
    with CaptureQueriesContext(connection) as queries:
        assert names() == ["old"]
    assert not queries
    assert kept(store) == 1


def test_without_a_lease_the_versions_are_asked_for(settings, product, monkeypatch):
    monkeypatch.setattr(RedisNear, "grants_leases", lambda self: "it is only a test")
    assert (names(), names()) == (["old"], ["old"])
    Product.objects.update(name="new")
    assert names() == ["new"]


def test_near_is_true_or_false():
    with pytest.raises(TypeError, match="near=1: it must be True or False"):
        CachedQuerySet(Product).cached(near=1)  # type: ignore[arg-type]
