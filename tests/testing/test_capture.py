"""`capture_invalidations`: what a block makes stale, whatever becomes of it."""

import pytest
from django.db import transaction
from model_bakery import baker

from cache_invalidation import ModelInvalidation, cached, invalidate, no_invalidation, registry
from cache_invalidation.testing import Captured, capture_invalidations
from tests.elsewhere import elsewhere
from tests.testapp.models import Category, Product, Restaurant, Tag


def test_everything_that_a_write_makes_stale_is_captured(database):
    class Rule(ModelInvalidation):
        tags = ["homepage"]
        keys = ["product:{pk}"]
        patterns = ["products:{category_id}:*"]
        entity_type = "goods"

    category = baker.make(Category)
    with registry.override(Product, Rule), capture_invalidations() as captured:
        product = baker.make(Product, category=category)
        product.save()
    assert {tag for tag in captured.tags if "product" in tag} == {
        "testapp.product",
        f"testapp.product:{product.pk}",
    }
    assert "homepage" in captured.tags
    assert captured.keys == {f"product:{product.pk}"}
    assert captured.patterns == {f"products:{category.pk}:*"}
    assert captured.entities["goods"] == 2
    assert captured.causes == {"create": 1, "update": 1}
    assert captured


def test_nothing_is_captured_where_nothing_is_written(database):
    product = baker.make(Product)
    with capture_invalidations() as captured:
        Product.objects.get(pk=product.pk)
    assert captured == Captured()
    assert not captured


def test_a_block_that_raises_still_tells_what_was_captured(database):
    with pytest.raises(ZeroDivisionError), capture_invalidations() as captured:
        invalidate(tags=["a"])
        raise ZeroDivisionError
    assert captured.tags == {"a"}


def test_no_invalidation_and_calls_dropped_one_by_one(database):
    @cached(tags=["a"])
    def page(number):
        return number

    with capture_invalidations() as captured:
        with no_invalidation():
            baker.make(Product)
        page.invalidate(3)
    assert captured.entries == {page.key(3)}
    assert (captured.tags, captured.causes) == (set(), {"manual": 1})


def test_a_row_of_several_tables_is_one_deletion(database):
    restaurant = baker.make(Restaurant)
    with capture_invalidations() as captured:
        restaurant.delete()
    assert captured.entities["testapp.restaurant"] == 1


def test_above_the_limit_a_family_tag_stands_for_rows(settings, database):
    settings.CACHE_INVALIDATION = {"ROW_TAG_LIMIT": 2}
    with capture_invalidations() as captured, transaction.atomic():
        for _ in range(3):
            baker.make(Tag)
    assert captured.tags == {"testapp.tag", "testapp.tag:*"}


@pytest.mark.django_db(databases=["default", "other"])
def test_databases_are_captured_together_or_one_of_them():
    invalidate(tags=["before"], using="other")
    with capture_invalidations() as both, capture_invalidations(using="other") as one:
        Tag.objects.using("default").create(name="a")
        invalidate(tags=["there"], using="other")
    assert {"testapp.tag", "there"} < both.tags
    assert one.tags == {"there"}


@pytest.mark.django_db(databases=["default", "sqlite"])
def test_writes_to_a_sqlite_database_are_captured():
    with capture_invalidations(using="sqlite") as captured:
        tag = Tag.objects.using("sqlite").create(name="a")
    assert captured.tags == {"testapp.tag", f"testapp.tag:{tag.pk}"}


def test_what_other_threads_commit_is_captured(transactional_db):
    def write() -> None:
        with transaction.atomic():
            invalidate(tags=["there"])

    with capture_invalidations() as captured:
        elsewhere(write)
    assert captured.tags == {"there"}


@pytest.mark.parametrize("policy", ["outbox", "ignore"])
def test_what_cannot_be_delivered_is_captured_too(settings, database, policy):
    options = {"SOCKET_TIMEOUT": 0.2, "SOCKET_CONNECT_TIMEOUT": 0.2}
    default = {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1", "OPTIONS": options}
    settings.CACHES = {**settings.CACHES, "default": default}
    settings.CACHE_INVALIDATION = {"ON_STORE_FAILURE": policy}
    with capture_invalidations() as captured:
        tag = Tag.objects.create(name="a")
    assert captured.tags == {"testapp.tag", f"testapp.tag:{tag.pk}"}
    assert captured.entities == {"testapp.tag": 1}


def test_the_cache_can_be_the_memory_of_the_process(settings, database):
    settings.CACHE_INVALIDATION = {"CACHE": "locmem"}
    with capture_invalidations() as captured:
        invalidate(tags=["a"], keys=["b"])
    assert (captured.tags, captured.keys) == ({"a"}, {"b"})


def test_the_text_lists_what_was_invalidated():
    captured = Captured(tags={"b", "a"}, keys={"k"}, patterns={"p:*"}, entries={"e"})
    assert str(captured).splitlines() == [
        "tag     a",
        "tag     b",
        "key     k",
        "pattern p:*",
        "entry   e",
    ]
    many = Captured(tags={f"tag:{number}" for number in range(60)})
    assert str(many).splitlines()[50:] == ["... and 10 more"]
