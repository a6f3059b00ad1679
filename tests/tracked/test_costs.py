"""What is kept, and asked for, on account of what may never be set."""

import gc
import weakref

import pytest
from django.core.cache import caches
from django.db import connections

from cache_invalidation import cached
from cache_invalidation.surfaces.tracked.units import current, unit_of_work
from tests.delivered import commands
from tests.elsewhere import elsewhere
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])


def test_a_thread_that_never_sets_what_it_missed_asks_for_no_versions(cache, product, redis_client):
    if cache is not caches["tracked"]:
        pytest.skip("only in Redis")

    def work():
        assert cache.get("product:1") is None
        with commands(redis_client) as sent:
            for n in range(20):
                list(Product.objects.filter(stock=n))
        return sent

    assert elsewhere(work) == {}


def test_a_thread_keeps_nothing_of_what_it_reads(cache, product):
    def work():
        for n in range(50):
            cache.get(f"product:{n}")
            list(Product.objects.filter(name=f"name {n}"))
            with connections["default"].cursor() as cursor:
                cursor.execute(f"SELECT {n} FROM pg_class")
        kept = current()
        return [*kept.versions, *kept.tags, *kept.known, *kept._noted, *kept.unknown]

    assert elsewhere(work) == []


def test_a_script_that_only_gets_hits_does_not_grow(cache, product):
    @cached
    def name_of(pk):
        return Product.objects.filter(pk=pk).first()

    cache.get("product:1")
    for n in range(1100):
        name_of(n % 20)
    assert len(current().versions) == 0


class Value:
    def __reduce__(self):
        return (Value, ())


def test_a_value_is_not_kept_longer_than_by_who_got_it(cache, product):
    with unit_of_work():
        assert cache.get("product:1") is None
        cache.set("product:1", Value())
        got = cache.get("product:1")
        kept = weakref.ref(got)
        del got
        gc.collect()
        assert kept() is None


def test_what_was_noted_is_looked_through_once(cache, product):
    with unit_of_work():
        Product.objects.get(pk=product.pk)
        assert cache.get("product:1") is None
        cache.set("product:1", "x")
        assert current()._noted == []


def sent_by(work, redis_client):
    """Return how often the server is asked by `work`, by command."""
    with commands(redis_client) as sent:
        work()
    return {name: number for name, number in sent.items() if name in ("mget", "eval", "set")}


def test_a_miss_asks_for_the_version_of_what_was_dropped_and_for_no_other(
    cache, product, redis_client
):
    if cache is not caches["tracked"]:
        pytest.skip("only in Redis")

    def read():
        with unit_of_work():
            if cache.get("product:1") is None:
                cache.set("product:1", Product.objects.get(pk=product.pk).name)

    read()
    read()  # Now it is known on what it depends.
    Product.objects.filter(pk=product.pk).update(name="new")
    sent = sent_by(read, redis_client)
    # Of the row alone. The other SET is the entry, which is a part of the script.
    assert sent == {"mget": 1, "set": 2, "eval": 1}
    assert sent_by(read, redis_client) == {"mget": 1}


def test_who_only_deletes_asks_for_no_versions(cache, product, redis_client):
    if cache is not caches["tracked"]:
        pytest.skip("only in Redis")
    before = set(redis_client.scan_iter())
    assert not cache.delete("product:1")
    left = set(redis_client.scan_iter()) - before
    assert not [key for key in left if b":ci:t:" in key], left
