"""Rules that are wrong: everything they might have meant is stale, and the write is not harmed."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.core.checks import run_checks
from django.db import connection, transaction
from model_bakery import baker

from cache_invalidation import Change, ModelInvalidation, cached, registry
from tests.delivered import delivered
from tests.testapp.models import Category, Product

# All databases, because the system checks ask them what they can do.
pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """What the package logged as an error so far."""
    with caplog.at_level(logging.ERROR, "cache_invalidation"):
        yield lambda: caplog.text


def rule(**attributes: Any) -> Any:
    return registry.override(Product, type("Rule", (ModelInvalidation,), attributes))


def fail(*args: Any) -> Any:
    raise ZeroDivisionError("bad code")


def fail_in_the_database(*args: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1/0")


def returning(value: Any) -> Callable[[Any, Change], Any]:
    return lambda self, change: value


@pytest.mark.parametrize("method", ["get_tags", "get_keys", "get_patterns"])
def test_code_that_raises_makes_everything_stale(method, logged):
    calls: list[str] = []

    @cached(tags=["unrelated"])
    def page():
        calls.append("page")
        return len(calls)

    with rule(**{method: fail}):
        assert page() == page() == 1
        product = baker.make(Product)
        assert page() == 2
        product.name = "changed"
        product.save()
        assert page() == 3
        product.delete()
        assert page() == 4
    assert "bad code" in logged()
    assert "Rule" in logged()


@pytest.mark.parametrize(
    "tags", ["homepage", b"homepage", None, 3, [3], [None], [""], ["a\nb"]], ids=repr
)
def test_code_that_returns_no_list_of_tags_makes_everything_stale(tags, logged):
    with rule(get_tags=returning(tags)), delivered() as found:
        product = baker.make(Product)
    assert "*" in found.tags
    assert "Rule" in logged()
    assert Product.objects.filter(pk=product.pk).exists()


@pytest.mark.parametrize(("method", "what"), [("get_keys", "key"), ("get_patterns", "pattern")])
def test_code_that_returns_a_lone_key_or_pattern_makes_everything_stale(method, what, logged):
    with rule(**{method: returning("front")}), delivered() as found:
        baker.make(Product)
    assert "*" in found.tags
    assert f"{what.capitalize()}s must be a list" in logged()


def test_code_cannot_delete_every_key_of_the_cache_by_mistake(logged):
    cache.set("somebody else's", 1)
    with rule(get_patterns=returning(["*"])):
        baker.make(Product)
    assert cache.get("somebody else's") == 1
    assert "Rule" in logged()


def test_what_the_same_rule_declares_besides_its_bad_code_still_counts(logged):
    cache.set("front", 1)
    with rule(keys=["front"], get_tags=fail):
        baker.make(Product)
    assert cache.get("front") is None


def test_a_property_that_raises_stands_for_all_its_values(monkeypatch, logged):
    monkeypatch.setattr(Product, "shelf", property(fail), raising=False)
    cache.set_many({"shelf:1": 1, "shelf:2": 1, "list:1:x": 1, "other": 1})
    attributes = {"tags": ["s:{shelf}"], "keys": ["shelf:{shelf}"], "patterns": ["list:{shelf}:*"]}
    with rule(**attributes), delivered() as found:
        product = baker.make(Product)
    assert found.tags == {"testapp.product", f"testapp.product:{product.pk}", "s:*"}
    assert cache.get_many(["shelf:1", "shelf:2", "list:1:x", "other"]) == {"other": 1}
    assert "s:{shelf}" in logged()
    assert "Rule for testapp.Product" in logged()
    assert Product.objects.filter(pk=product.pk).exists()


def test_a_key_that_gets_too_long_stands_for_all_its_values(logged):
    cache.set("product:short", 1)
    with rule(keys=["product:{name}:" + "x" * 200]), delivered() as found:
        product = baker.make(Product, name="y" * 100)
    assert found.patterns == {"product:*:" + "x" * 200}
    assert Product.objects.filter(pk=product.pk).exists()


def test_a_missing_attribute_stands_for_all_its_values(logged):
    with rule(tags=["n:{nope}"]), delivered() as found:
        product = baker.make(Product)
        product.save()
    assert found.family("n") == {"n:*"}
    assert "nope" in logged()


def test_an_unknown_name_in_fields_counts_as_changed_and_costs_no_write(logged):
    product = baker.make(Product)
    with rule(tags=["homepage"], fields=["nope"]), delivered() as found:
        product.name = "changed"
        product.save()
    product.refresh_from_db()
    assert product.name == "changed"
    assert "homepage" in found.tags


@pytest.mark.parametrize("tags", [["{slug}"], ["a:{b.c}"], ["a\nb"], [3], "homepage"], ids=repr)
def test_a_rule_with_a_bad_template_makes_everything_stale_and_is_reported_by_a_check(tags, logged):
    with rule(tags=tags), delivered() as found:
        assert "cache_invalidation.E006" in {message.id for message in run_checks()}
        product = baker.make(Product)
    assert "*" in found.tags
    assert Product.objects.filter(pk=product.pk).exists()


@pytest.mark.parametrize("method", ["get_tags", "get_keys", "get_patterns"])
def test_code_whose_query_fails_does_not_cost_the_write(method, logged):
    with rule(**{method: fail_in_the_database}), delivered() as found:
        product = baker.make(Product)
        assert Product.objects.filter(pk=product.pk).exists()
        product.name = "changed"
        product.save()
        assert Product.objects.filter(name="changed").exists()
        product.delete()
    assert not Product.objects.exists()
    assert "*" in found.tags
    assert "division by zero" in logged()


def test_code_whose_query_fails_does_not_cost_the_transaction(logged):
    with rule(get_tags=fail_in_the_database), delivered() as found:
        with transaction.atomic():
            before = baker.make(Category)
            product = baker.make(Product)
            after = baker.make(Category)
        assert "*" in found.tags
    assert Product.objects.filter(pk=product.pk).exists()
    assert Category.objects.filter(pk__in=[before.pk, after.pk]).count() == 2


def test_a_property_whose_query_fails_does_not_cost_the_write(monkeypatch, logged):
    monkeypatch.setattr(Product, "shelf", property(fail_in_the_database), raising=False)
    with rule(tags=["shelf:{shelf}"]), delivered() as found:
        product = baker.make(Product)
    assert Product.objects.filter(pk=product.pk).exists()
    assert found.family("shelf") == {"shelf:*"}
