"""`cached` inside transactions: own writes are seen, and never leak."""

import pytest
from django.db import transaction
from model_bakery import baker

from cache_invalidation import ModelInvalidation, cached, invalidate, registry
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from tests.ruled import ByCategory, in_force
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


_rule = in_force({Product: ByCategory})


@pytest.fixture
def page():
    """A function that returns how often it was computed."""
    computed = []

    @cached(tags=["a"])
    def page():
        computed.append(1)
        return len(computed)

    return page


def test_a_transaction_bypasses_only_what_it_has_written_to():
    computed = []

    @cached(tags=["category:{category_id}"], name="names in a category")
    def names(category_id):
        computed.append(category_id)
        return list(Product.objects.filter(category=category_id).values_list("name", flat=True))

    one, two = baker.make(Category, 2)
    assert names(one.pk) == names(two.pk) == []
    reset_metrics()
    computed.clear()
    with transaction.atomic():
        baker.make(Product, name="x", category=one)
        assert names(one.pk) == names(one.pk) == ["x"]
        assert names(two.pk) == []
    assert computed == [one.pk, one.pk]
    assert names(one.pk) == names(one.pk) == ["x"]
    assert computed == [one.pk, one.pk, one.pk]
    assert read_metrics()["functions"]["names in a category"] == {
        "hits": 2,
        "misses": 1,
        "bypasses": 2,
        "hit_rate": 0.6667,
    }


def test_what_was_rolled_back_was_never_stored():
    @cached(tags=[Product])
    def count():
        return Product.objects.count()

    with pytest.raises(RuntimeError), transaction.atomic():
        baker.make(Product)
        assert count() == 1
        raise RuntimeError
    assert count() == 0


def test_a_rolled_back_savepoint_leaves_the_rest_of_the_transaction_as_it_was():
    @cached(tags=["category:{category_id}"])
    def count(category_id):
        return Product.objects.filter(category=category_id).count()

    one, two = baker.make(Category, 2)
    with transaction.atomic():
        baker.make(Product, category=one)
        with pytest.raises(RuntimeError), transaction.atomic():
            baker.make(Product, category=one)
            baker.make(Product, category=two)
            assert (count(one.pk), count(two.pk)) == (2, 1)
            raise RuntimeError
        assert (count(one.pk), count(two.pk)) == (1, 0)
    assert (count(one.pk), count(two.pk)) == (1, 0)


def test_inner_tags_count_as_much_as_declared_ones_when_the_transaction_has_written():
    @cached(tags=["category:{category_id}"])
    def count(category_id):
        return Product.objects.filter(category=category_id).count()

    @cached(tags=["front"])
    def front(category_id):
        return f"{count(category_id)} products"

    category = baker.make(Category)
    assert front(category.pk) == "0 products"
    with transaction.atomic():
        baker.make(Product, category=category)
        assert front(category.pk) == "1 products"
    assert front(category.pk) == "1 products"


def test_an_entry_invalidated_by_name_is_bypassed_until_commit_and_dropped_then(page):
    assert page() == 1
    with transaction.atomic():
        page.invalidate()
        assert page() == 2
        assert page() == 3
    assert page() == page() == 4


def test_an_entry_invalidated_in_a_transaction_that_is_rolled_back_stays(page):
    assert page() == 1
    with pytest.raises(RuntimeError), transaction.atomic():
        page.invalidate()
        invalidate(tags=["a"])
        raise RuntimeError
    assert page() == 1


def test_nothing_is_stored_in_a_transaction_that_sees_a_snapshot(page):
    with transaction.atomic(using="sqlite"):
        Category.objects.using("sqlite").count()
        assert (page(), page()) == (1, 2)
    assert page() == page() == 3


def test_a_read_committed_transaction_that_writes_nothing_uses_and_fills_the_cache(page):
    with transaction.atomic():
        Category.objects.count()
        assert page() == page() == 1
    assert page() == 1


def test_refresh_in_a_transaction_that_has_written_stores_nothing():
    @cached(tags=[Product])
    def count():
        return Product.objects.count()

    assert count() == 0
    with pytest.raises(RuntimeError), transaction.atomic():
        baker.make(Product)
        assert count.refresh() == 1
        raise RuntimeError
    assert count() == 0


def test_a_function_that_writes_itself_does_not_leak_what_is_rolled_back():
    @cached(tags=[Category])
    def names():
        Category.objects.get_or_create(name="made on the way")
        return list(Category.objects.values_list("name", flat=True))

    with registry.override(Category, ModelInvalidation):
        with pytest.raises(RuntimeError), transaction.atomic():
            assert names() == ["made on the way"]
            raise RuntimeError
        assert not Category.objects.exists()
        baker.make(Product)
        assert names() == ["made on the way"]
        assert Category.objects.exists()


def test_what_a_function_writes_inside_of_another_is_not_leaked_by_the_other_either():
    @cached(tags=[Category])
    def names():
        Category.objects.get_or_create(name="made on the way")
        return list(Category.objects.values_list("name", flat=True))

    @cached(tags=["front"])
    def front():
        return names()

    computed = front.uncached
    with registry.override(Category, ModelInvalidation):
        with pytest.raises(RuntimeError), transaction.atomic():
            front()
            raise RuntimeError
        front()
        assert Category.objects.exists()
        assert computed() == ["made on the way"]
