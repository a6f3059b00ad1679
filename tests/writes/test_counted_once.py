"""What happened once is counted once, whoever reports it."""

import pytest
from django.db import connections, transaction

from cache_invalidation import ModelInvalidation, registry
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from tests.cursors import execute
from tests.ruled import ByCategory
from tests.testapp.models import Category, Counter, Product, Restaurant, Review, Tag

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


@pytest.fixture(params=["no rule", "rule", "values"], autouse=True)
def rule(request):
    kinds = {"no rule": None, "rule": ModelInvalidation, "values": ByCategory}
    with registry.override(Product, kinds[request.param]):
        yield


def counted(action):
    reset_metrics()
    action()
    return read_metrics()["invalidations_by_entity_type"]


def test_each_row_that_was_written_is_counted_once(using):
    rows = Product.objects.using(using)
    a, b, c = (rows.create(name=name) for name in "abc")
    tag = Tag.objects.using(using).create(name="T")
    one = {"testapp.product": 1}
    actions = [
        (lambda: a.save(), one),
        (lambda: a.save(update_fields=["name"]), one),
        (lambda: rows.create(name="d"), one),
        (lambda: rows.get_or_create(name="e"), one),
        (lambda: rows.get_or_create(name="e"), {}),
        (lambda: rows.update_or_create(name="e", defaults={"stock": 1}), one),
        (lambda: rows.filter(pk=a.pk).update(stock=1), one),
        (lambda: rows.filter(pk__in=[a.pk, b.pk]).update(stock=1), {"testapp.product": 2}),
        (lambda: rows.bulk_create([Product(name=name) for name in "xyz"]), {"testapp.product": 3}),
        (lambda: rows.bulk_update([a, b], ["name"]), {"testapp.product": 2}),
        (
            lambda: execute(using, "UPDATE testapp_product SET stock = 2 WHERE id = %s", [a.pk]),
            one,
        ),
        (lambda: rows.filter(pk=-1).update(stock=1), {}),
        (lambda: b.delete(), one),
        (lambda: rows.filter(pk=c.pk).delete(), one),
        (lambda: tag.save(), {"testapp.tag": 1}),
    ]
    for number, (action, expected) in enumerate(actions):
        assert counted(action) == expected, f"number {number}"
        if number in (0, 6, 10):
            assert counted(transaction.atomic(using=using)(action)) == expected, number


def test_each_row_that_goes_with_another_is_counted_once(using):
    category = Category.objects.using(using).create(name="A")
    product = Product.objects.using(using).create(name="P", category=category)
    Review.objects.using(using).create(product=product)
    Review.objects.using(using).create(product=product)
    found = counted(category.delete)
    assert found["testapp.category"] == found["testapp.product"] == 1
    assert 1 <= found["testapp.review"] <= 2  # One statement for both.


def test_both_rows_of_a_child_are_counted_once(using):
    place = Restaurant.objects.using(using).create(name="R")
    expected = counted(place.save)
    assert expected == {"testapp.restaurant": 1, "testapp.place": 1}
    assert counted(place.delete) == expected


def test_what_many_statements_write_is_counted_for_each_row(using):
    counters = Counter.objects.using(using)
    keys = [counters.create(name=name).pk for name in "abc"]

    def write():
        with connections[using].cursor() as cursor:
            cursor.executemany(
                "UPDATE testapp_counter SET value = 1 WHERE id = %s", [[key] for key in keys]
            )

    assert counted(write) == {"testapp.counter": 3}
