"""`cached(sample=…)`: a share of the hits is compared with what the function returns now."""

import logging
import re
from typing import Any

import pytest
from django.db import connection, transaction
from model_bakery import baker

from cache_invalidation import CacheDependencyWarning, cached, invalidate
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from cache_invalidation.metrics.shapes import Metrics
from cache_invalidation.reads import consistency
from cache_invalidation.stores import get_store
from tests.delivered import commands, update_behind_the_back
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@pytest.fixture(autouse=True)
def nothing_counted(transactional_db: None, settings: Any) -> None:
    # The tags of these functions leave out what they read, or nothing would ever be stale.
    settings.CACHE_INVALIDATION = {"UNDECLARED_READS": "ignore"}
    reset_metrics()


@pytest.fixture
def product() -> Product:
    return baker.make(Product, name="Secret Espresso", stock=12)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]


def checks() -> tuple[int, int]:
    """Return how many hits were checked and how many of them were stale."""
    found = read_metrics()
    return found["checked_hits"], found["stale_hits"]


def spoil(product: Product, **values: Any) -> None:
    update_behind_the_back(Product.objects.filter(pk=product.pk), **values)


@cached(sample=1, name="sampled.names")
def names() -> list[Any]:
    return list(Product.objects.order_by("pk").values("name", "stock"))


@pytest.mark.parametrize("share", [0, 0.0, -0.1, 1.1, float("nan"), float("inf"), True, "1", []])
def test_a_share_that_is_none_is_refused_where_it_is_declared(share: Any):
    with pytest.raises(ValueError, match="sample="):
        cached(sample=share)


def test_a_stale_value_is_found_counted_and_healed(product, caplog):
    baker.make(Product, name="b")
    names()
    spoil(product, stock=0)
    assert names()[0]["stock"] == 0
    assert checks() == (1, 1)
    # The entry was dropped, so that this is a miss, and not checked.
    assert names()[0]["stock"] == 0
    assert checks() == (1, 1)
    assert names()[0]["stock"] == 0
    assert checks() == (2, 1)
    assert len(errors(caplog)) == 1


def test_the_log_says_what_is_needed_to_find_the_cause_and_no_value(product, caplog):
    names()
    names.uncached()
    spoil(product, name="Secret Lungo", stock=99_887_766)
    names()
    (message,) = errors(caplog)
    versions = get_store().versions(["testapp.product"])
    assert "sampled.names() was stale" in message
    assert "First difference: [0]['name']: another value." in message
    assert "Key: 'sampled.names'." in message
    assert f"testapp.product={versions['testapp.product']}" in message
    assert " *=" in message
    assert re.search(r"Age: \d+\.\d s\.", message)
    assert re.search(
        r"Cached: \d+ bytes, digest \w{16}\. Fresh: \d+ bytes, digest \w{16}\.", message
    )
    assert "Secret" not in message
    assert "99887766" not in message


def test_a_value_that_is_right_is_counted_as_checked(product, caplog):
    names()
    assert names() == names() == names.uncached()
    assert checks() == (2, 0)
    assert errors(caplog) == []


def test_stale_values_are_counted_by_the_models_among_their_tags(product):
    @cached(sample=1, name="sampled.both")
    def both():
        return Product.objects.get(pk=product.pk).stock, Category.objects.count()

    @cached(sample=1, tags=["rate"], name="sampled.rate")
    def rate():
        return next(rates)

    rates = iter(range(9))
    both(), rate()
    spoil(product, stock=1)
    both(), rate()
    found: Metrics = read_metrics()
    assert found["stale_by_entity_type"] == {
        "sampled.rate": 1,
        "testapp.category": 1,
        "testapp.product": 1,
    }
    assert (found["checked_hits"], found["stale_hits"], found["stale_rate"]) == (2, 2, 1.0)


def test_the_rate_is_unknown_before_the_first_check(product):
    assert read_metrics()["stale_rate"] is None
    names(), names(), names()
    assert read_metrics()["stale_rate"] == 0.0


def test_only_the_share_of_the_hits_is_checked(product, monkeypatch):
    computed = []

    @cached(sample=0.25, tags=["a"])
    def page():
        computed.append(1)

    draws = iter([0.9, 0.2499, 0.25, 0.3, 0.0])
    monkeypatch.setattr(consistency, "random", lambda: next(draws))
    for _ in range(6):
        page()
    assert len(computed) == 1 + 2
    assert checks() == (2, 0)


def test_a_hit_that_is_not_chosen_is_one_round_trip(redis_client, monkeypatch):
    @cached(sample=0.001, tags=["a", "b"])
    def page():
        return "x"

    monkeypatch.setattr(consistency, "random", lambda: 0.5)
    page()
    with commands(redis_client) as sent:
        page()
    assert sent == {"mget": 1}


def test_a_check_that_finds_nothing_asks_the_cache_no_second_time(redis_client):
    @cached(sample=1, tags=["a"])
    def page():
        return "x"

    page()
    with commands(redis_client) as sent:
        page()
    assert sent == {"mget": 1}


def test_a_check_is_no_read_and_no_warning(product, recwarn, settings):
    settings.CACHE_INVALIDATION = {"UNDECLARED_READS": "warn"}

    @cached(tags=["inner"])
    def inner():
        return 1

    @cached(sample=1, tags=["a"], name="sampled.undeclared")
    def page():
        return Product.objects.count() + inner()

    page()
    assert len([each for each in recwarn if each.category is CacheDependencyWarning]) == 1
    reset_metrics()
    page()
    found = read_metrics()
    assert (found["hits"], found["misses"], found["bypasses"]) == (1, 0, 0)
    assert found["checked_hits"] == 1
    assert len([each for each in recwarn if each.category is CacheDependencyWarning]) == 1


def test_an_inner_function_that_is_stale_in_the_cache_is_found_and_healed_as_well(product):
    @cached(tags=["inner"])
    def inner(pk):
        return Product.objects.get(pk=pk).stock

    @cached(sample=1, tags=["outer"], name="sampled.outer")
    def outer():
        return [inner(product.pk)]

    assert outer() == [12]
    spoil(product, stock=3)
    assert inner(product.pk) == 12
    assert outer() == [3]
    assert checks() == (1, 1)
    assert inner(product.pk) == 3
    assert outer() == [3]


def test_inner_functions_are_computed_once_each():
    computed = []

    @cached(tags=["a"])
    def fibonacci(number):
        computed.append(number)
        return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)

    @cached(sample=1, tags=["a"])
    def page():
        return fibonacci(20), fibonacci.refresh(20)

    page()
    computed.clear()
    assert page() == (6765, 6765)
    assert sorted(computed) == [*range(21)]


def test_a_check_leaves_the_dependencies_of_an_outer_function_alone(product):
    computed = []

    @cached(sample=1, tags=["inner"], name="sampled.inner")
    def inner():
        return Product.objects.get(pk=product.pk).name

    @cached()
    def outer():
        computed.append(1)
        return inner()

    inner()
    outer()
    assert checks() == (1, 0)
    Product.objects.filter(pk=product.pk).update(stock=1)
    outer()
    assert len(computed) == 1, "what the check has read became a dependency"
    invalidate(tags=["inner"])
    outer()
    assert len(computed) == 2


def test_an_outer_function_gets_the_fresh_value_and_is_not_stored_with_it(product):
    computed = []

    @cached()
    def outer():
        computed.append(1)
        return names()[0]["stock"]

    names()
    spoil(product, stock=1)
    assert outer() == outer() == outer() == 1
    assert len(computed) == 2


@pytest.mark.parametrize("lock", [False, True])
def test_a_function_that_fails_breaks_nothing(product, caplog, lock):
    fails: list[int] = []

    @cached(sample=1, tags=["a"], lock=lock, name="sampled.failing")
    def page():
        if fails:
            raise RuntimeError("gone")
        return "value"

    page()
    fails.append(1)
    assert page() == "value"
    assert checks() == (0, 0)
    (message,) = errors(caplog)
    assert message == (
        "sampled.failing() could not be computed again, to check its entry 'sampled.failing'."
    )
    fails.clear()
    assert page() == "value"
    assert checks() == (1, 0)


def test_a_value_that_can_no_longer_be_stored_breaks_nothing(caplog):
    values = iter(["value", lambda: None])

    @cached(sample=1, tags=["a"])
    def page():
        return next(values)

    page()
    assert page() == "value"
    assert len(errors(caplog)) == 1


def test_what_the_serializer_changes_is_no_difference(settings, product):
    settings.CACHE_INVALIDATION = {"CACHE": "zlib"}

    @cached(sample=1, tags=["a"])
    def page(pk, names):
        return {1: (1, 2)}, product.created, names

    first = page(1, "größe")
    assert first[0] == {1: (1, 2)}
    assert page(1, "größe")[0] == {"1": [1, 2]}
    assert checks() == (1, 0)


def test_querysets_are_compared_by_their_rows(product, caplog):
    @cached(sample=1, tags=[Product])
    def page():
        return Product.objects.select_related("category").order_by("pk")

    category = baker.make(Category, name="Coffee")
    Product.objects.filter(pk=product.pk).update(category=category)
    page()
    page()
    assert checks() == (1, 0)
    update_behind_the_back(Category.objects.filter(pk=category.pk), name="Tea")
    assert page()[0].category.name == "Tea"
    assert checks() == (2, 1)
    assert "[0].category.name: another value" in errors(caplog)[0]


def test_instances_among_the_arguments_are_read_anew(product):
    @cached(sample=1, tags=["a"])
    def page(products):
        return [each.stock for each in products]

    old = Product.objects.get(pk=product.pk)
    page((old,))
    spoil(product, stock=1)
    assert page((old,)) == [1]
    assert checks() == (1, 1)


def test_a_row_among_the_arguments_that_is_gone_breaks_nothing(product, caplog):
    @cached(sample=1, tags=["a"])
    def page(product):
        return 1

    old = Product.objects.get(pk=product.pk)
    page(old)
    product.delete()
    assert page(old) == 1
    assert checks() == (0, 0)
    assert len(errors(caplog)) == 1


def test_what_was_stored_before_the_function_opted_in_is_checked_all_the_same(product, caplog):
    def page():
        return Product.objects.get(pk=product.pk).stock

    cached(tags=["a"], name="sampled.later")(page)()
    opted_in = cached(sample=1, tags=["a"], name="sampled.later")(page)
    spoil(product, stock=1)
    assert opted_in() == 1
    assert checks() == (1, 1)
    assert "Age: unknown." in errors(caplog)[0]


def test_who_has_opted_out_reads_what_was_stored_before():
    def page(number):
        computed.append(number)
        return b"\x00ci call"

    computed: list[int] = []
    opted_in = cached(sample=1, tags=["a"], name="sampled.former")(page)
    opted_out = cached(tags=["a"], name="sampled.former")(page)
    assert opted_in(1) == opted_out(1) == opted_out(2) == opted_in(2) == b"\x00ci call"
    assert computed == [1, 2, 2]


def test_a_value_that_only_looks_as_if_a_call_stood_in_front_comes_back_as_it_was(settings):
    settings.CACHES = settings.CACHES | {
        "raw": settings.CACHES["default"]
        | {"OPTIONS": {"SERIALIZER": "tests.reads.test_sampled.Raw"}}
    }
    settings.CACHE_INVALIDATION = {"CACHE": "raw"}
    text = "\x00ci call\x00\x00\x00\x01forged"

    @cached(tags=["a"])
    def page():
        return text

    assert page() == page() == text


class Raw:
    """A serializer that takes whatever a user has typed."""

    def __init__(self, options: Any) -> None:
        """Take the options that every serializer is given."""

    def dumps(self, value: str) -> bytes:
        return value.encode()

    def loads(self, value: bytes) -> str:
        return value.decode()


def test_a_query_that_fails_in_a_check_leaves_the_transaction_usable(product):
    broken: list[int] = []

    @cached(sample=1, tags=["a"])
    def page():
        if broken:
            with connection.cursor() as cursor:
                cursor.execute("SELECT * FROM there_is_no_such_table")
        return 1

    page()
    broken.append(1)
    with transaction.atomic():
        assert page() == 1
        assert Product.objects.count() == 1
    assert checks() == (0, 0)
