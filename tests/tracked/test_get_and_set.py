"""`cache.get`, a query, `cache.set`, as in any project: what is set depends on what was read."""

import pytest
from django.db import DatabaseError, connection, transaction

from cache_invalidation.delivery.fencing import drop
from cache_invalidation.exceptions import CacheDependencyWarning
from cache_invalidation.observing.watcher import journal
from cache_invalidation.surfaces.tracked import journals
from cache_invalidation.surfaces.tracked.keys import Key
from cache_invalidation.surfaces.tracked.units import unit_of_work
from tests.delivered import update_behind_the_back
from tests.testapp.models import Category, Product, Tag

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])


def shown(cache, pk):
    """Return the name of a product, as one caches it by hand."""
    with unit_of_work():
        key = f"product:{pk}"
        name = cache.get(key)
        if name is None:
            name = Product.objects.get(pk=pk).name
            cache.set(key, name, 300)
        return name


def test_what_is_set_is_kept_until_its_row_changes(cache, product):
    assert shown(cache, product.pk) == "old"
    update_behind_the_back(Product.objects.filter(pk=product.pk), name="unseen")
    assert shown(cache, product.pk) == "old"
    Product.objects.create(name="another")
    assert shown(cache, product.pk) == "old"
    Product.objects.filter(pk=product.pk).update(name="new")
    assert shown(cache, product.pk) == "new"


def test_a_write_between_get_and_set_is_not_lost(cache, product):
    with unit_of_work():
        assert cache.get("product:1") is None
        name = Product.objects.get(pk=product.pk).name
        Product.objects.filter(pk=product.pk).update(name="new")
        assert not cache.set("product:1", name)
    assert cache.get("product:1") is None


def test_what_was_read_before_is_a_dependency_too(cache, product):
    def page():
        with unit_of_work():
            found = Product.objects.get(pk=product.pk)
            html = cache.get("product:page")
            if html is None:
                html = f"<h1>{found.name}</h1>"
                cache.set("product:page", html)
            return html

    assert page() == "<h1>old</h1>"  # Not kept: nobody knows since when the row is so.
    assert page() == "<h1>old</h1>"
    update_behind_the_back(Product.objects.filter(pk=product.pk), name="unseen")
    assert page() == "<h1>old</h1>"
    Product.objects.filter(pk=product.pk).update(name="new")
    assert page() == "<h1>new</h1>"


def test_what_was_read_before_a_write_is_not_set_after_it(cache, product):
    for _ in range(2):
        with unit_of_work():
            found = Product.objects.get(pk=product.pk)
            Product.objects.filter(pk=product.pk).update(name="new")
            assert cache.get("product:page") is None
            assert not cache.set("product:page", found.name)


def test_a_hit_that_is_changed_and_set_again_depends_on_what_it_did(cache, product):
    shown(cache, product.pk)
    key = f"product:{product.pk}"
    with unit_of_work():
        name = cache.get(key)
        assert cache.set(key, f"{name}!")
    assert shown(cache, product.pk) == "old!"
    with unit_of_work():
        name = cache.get(key)
        Product.objects.filter(pk=product.pk).update(name="new")
        assert not cache.set(key, f"{name}!")
    assert shown(cache, product.pk) == "new"


def test_what_is_read_in_a_transaction_that_has_written_is_not_kept(cache, product):
    with unit_of_work():
        assert cache.get("product:1") is None
        with transaction.atomic():
            Product.objects.filter(pk=product.pk).update(name="never")
            name = Product.objects.get(pk=product.pk).name
            transaction.set_rollback(True)
        assert not cache.set("product:1", name)
    with unit_of_work():
        assert cache.get("product:1") is None


def test_what_is_read_before_the_miss_in_such_a_transaction_is_not_kept_either(cache, product):
    for _ in range(2):
        with unit_of_work():
            with transaction.atomic():
                Product.objects.filter(pk=product.pk).update(name="never")
                name = Product.objects.get(pk=product.pk).name
                transaction.set_rollback(True)
            assert cache.get("product:1") is None
            assert not cache.set("product:1", name)


def test_a_deletion_is_done_at_commit(cache, product):
    shown(cache, product.pk)
    key = f"product:{product.pk}"
    with transaction.atomic():
        assert cache.delete(key)
        assert cache.get(key) is None
        transaction.set_rollback(True)
    assert cache.get(key) == "old"
    with transaction.atomic():
        cache.delete(key)
    assert cache.get(key) is None
    assert not cache.delete(key)


def test_a_set_that_a_deletion_has_overtaken_is_not_kept(cache, product):
    with unit_of_work():
        assert cache.get("product:1") is None
        name = Product.objects.get(pk=product.pk).name
        key = Key("product:1", 1, "product:*", 300)
        drop(key.name, {key.place(): key.entry})  # As another process does.
        assert not cache.set("product:1", name)
    assert cache.get("product:1") is None


def test_what_is_set_without_being_asked_for_is_not_kept(cache, product):
    with unit_of_work(), pytest.warns(CacheDependencyWarning, match="product:1"):
        assert not cache.set("product:1", "x")
    with unit_of_work():
        assert cache.get("product:1") is None


def test_unless_the_project_allows_it(cache, product):
    with unit_of_work():
        assert cache.set("shop:blind:1", "x")
    with unit_of_work():
        assert cache.get("shop:blind:1") == "x"
        assert cache.get("product:1") is None
        with pytest.warns(CacheDependencyWarning):
            assert not cache.set("product:1", cache.get("shop:blind:1"))


def test_another_key_may_be_set_once_one_was_asked_for(cache, product):
    """As Django's `cache_page` does: it asks for one key and sets two."""

    def both(first, second):
        with unit_of_work():
            assert cache.get(first) is None
            name = Product.objects.get(pk=product.pk).name
            cache.set(first, name)
            return cache.set(second, name)

    assert both("shop:one", "shop:two")
    assert cache.get("shop:two") == "old"
    # Nobody knows at first whether all of them were invalidated meanwhile.
    assert not both("names", "product:list")
    cache.delete("names")
    assert both("names", "product:list")
    Product.objects.filter(pk=product.pk).update(name="new")
    assert cache.get("shop:two") is None
    assert cache.get("product:list") is None


def test_a_script_has_one_chance_without_a_unit(cache, product):
    journal.set(None)
    journals.forget()  # As if nothing had been done in this process yet.
    assert cache.get("product:1") is None
    assert cache.set("product:1", Product.objects.get(pk=product.pk).name)
    assert cache.get("product:2") is None
    with pytest.warns(CacheDependencyWarning):
        assert not cache.set("product:2", Product.objects.get(pk=product.pk).name)


def test_a_model_that_is_read_whole(cache, product):
    def names():
        with unit_of_work():
            if (found := cache.get("names")) is None:
                found = list(Category.objects.values_list("name", flat=True))
                cache.set("names", found)
            return found

    assert names() == ["C"]
    update_behind_the_back(Category.objects.all(), name="unseen")
    assert names() == ["C"]
    Category.objects.create(name="D")
    assert sorted(names()) == ["D", "unseen"]


def test_a_transaction_that_the_database_has_given_up(cache, product):
    with unit_of_work():
        Product.objects.get(pk=product.pk)
        assert cache.get("product:1") is None
        with transaction.atomic():
            with pytest.raises(DatabaseError), connection.cursor() as cursor:
                cursor.execute("SELECT bogus FROM testapp_product")
            cache.set("product:1", "x")
            cache.get("product:2")
            cache.delete("product:3")
            cache.add("product:4", 1)
            transaction.set_rollback(True)


def test_a_relation_that_is_read_before(cache, product):
    def names():
        with unit_of_work():
            found = Product.objects.prefetch_related("tags").get(pk=product.pk)
            if (names := cache.get("product:tags")) is None:
                names = [tag.name for tag in found.tags.all()]
                cache.set("product:tags", names)
            return names

    tag = Tag.objects.create(name="old")
    product.tags.add(tag)
    assert [names() for _ in range(3)] == [["old"]] * 3
    product.tags.remove(tag)
    assert [names() for _ in range(3)] == [[]] * 3
    product.tags.add(tag)
    assert [names() for _ in range(3)] == [["old"]] * 3
    Tag.objects.update(name="new")
    assert names() == ["new"]
