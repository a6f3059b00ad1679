"""Keys and patterns of rules, and those that somebody invalidates by hand, on tracked keys."""

from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction

from cache_invalidation import ModelInvalidation, invalidate, registry
from cache_invalidation.metrics.counters import counters
from cache_invalidation.stores import get_store
from cache_invalidation.stores.tracking import PREFIXES, is_prefix, prefix_tags
from cache_invalidation.surfaces.tracked.units import unit_of_work
from tests.delivered import commands
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])


class Rule(ModelInvalidation):
    keys = ["front", "category-{category_id}"]
    patterns = ["category:{category_id}:*", "list-*"]


@pytest.fixture(autouse=True)
def rule():
    with registry.override(Product, Rule):
        yield


def put(cache, *keys):
    for key in keys:
        with unit_of_work():
            assert cache.get(key) is None
            assert cache.set(key, "x")


def left(cache, *keys):
    with unit_of_work():
        return [key for key in keys if cache.get(key) is not None]


def test_what_a_rule_names_is_tracked_without_being_listed(cache):
    tracking: Any = get_store().tracking
    tracked = ["front", "category-3", "category:3:", "category:3:menu", "product:1", "names"]
    assert [
        key for key in [*tracked, "list-1", "category:", "frontier"] if tracking.glob_of(key)
    ] == tracked


def test_a_write_drops_the_keys_and_patterns_of_its_rule(cache, product):
    other = Category.objects.create(name="D")
    keys = (
        "front",
        f"category-{product.category_id}",
        f"category-{other.pk}",
        f"category:{product.category_id}:menu",
        f"category:{product.category_id}:menu:1",
        f"category:{other.pk}:menu",
    )
    put(cache, *keys)
    product.save()
    assert left(cache, *keys) == [f"category-{other.pk}", f"category:{other.pk}:menu"]
    product.category = other
    product.save()
    assert left(cache, *keys) == []


def test_not_if_it_is_rolled_back(cache, product):
    put(cache, "front")
    with transaction.atomic():
        product.save()
        assert cache.get("front") is None
        transaction.set_rollback(True)
    assert left(cache, "front") == ["front"]


def test_what_was_being_computed_meanwhile_is_not_kept(cache, product):
    for key in ("front", f"category:{product.category_id}:menu"):
        with unit_of_work():
            assert cache.get(key) is None
            product.save()
            assert not cache.set(key, "from before")
        assert left(cache, key) == []


def test_invalidating_by_hand(cache, product):
    put(cache, "front", "product:1", "product:1:x", "product:2", "shop:1", "names")
    invalidate(keys=["front"])
    invalidate(patterns=["product:1:*"])
    assert left(cache, "front", "product:1", "product:1:x", "product:2", "shop:1") == [
        "product:1",
        "product:2",
        "shop:1",
    ]
    invalidate(patterns=["product:*"])
    assert left(cache, "product:1", "product:2", "shop:1", "names") == ["shop:1", "names"]
    invalidate(patterns=["*"], everything=True)
    assert left(cache, "shop:1", "names") == []


def test_all_that_a_pattern_tracks_goes_by_its_name(cache, product):
    put(cache, "product:1", "product:1:x", "shop:1")
    counters.flush()
    call_command("invalidate_cache", "cache:product:*", verbosity=0)
    assert left(cache, "product:1", "product:1:x", "shop:1") == ["shop:1"]


def test_a_pattern_that_is_no_prefix_drops_all_that_may_match(cache, product):
    put(cache, "product:1:x", "product:2:y", "shop:1")
    invalidate(patterns=["product:*:x"])
    assert left(cache, "product:1:x", "product:2:y", "shop:1") == ["shop:1"]


def test_a_pattern_that_is_a_prefix_takes_no_scan(cache, product, redis_client):
    if not hasattr(cache, "delete_pattern"):
        pytest.skip("only in Redis")
    with commands(redis_client) as sent:
        invalidate(patterns=["product:1:*"])
        cache.delete_pattern("product:2:*")
    assert not [command for command in sent if "SCAN" in str(command).upper()]
    cache.set("elsewhere:1", "x")
    invalidate(patterns=["elsewhere:*"])
    assert cache.get("elsewhere:1") is None


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", True),
        ("a:*", True),
        ("a:b:*", True),
        (r"a\*:*", True),
        ("a*", False),
        ("a:*:*", False),
        ("a:?:*", False),
        ("a", False),
        ("a:b*", False),
        ("a:" * PREFIXES + "*", True),
        ("a:" * (PREFIXES + 1) + "*", False),
    ],
)
def test_prefixes(pattern, expected):
    assert is_prefix(pattern) is expected


def test_a_key_has_a_tag_for_each_of_its_beginnings():
    assert prefix_tags("a:b:c") == ("keys:a:", "keys:a:b:")
    assert prefix_tags("a") == ("keys:*",)
    assert len(prefix_tags("a:" * 100)) == PREFIXES
    assert prefix_tags("a*:b") == ("keys:a%2A:",)


def test_a_deep_prefix_goes_by_one_that_is_not(cache, product):
    deep = "product:" + "a:" * 20
    put(cache, f"{deep}x")
    invalidate(patterns=[f"{deep}*"])
    assert left(cache, f"{deep}x") == []
