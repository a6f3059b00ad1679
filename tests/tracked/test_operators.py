"""What operators see of tracked keys, by the patterns that track them."""

import re
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client, override_settings

from cache_invalidation import ModelInvalidation, explain, registry, unit_of_work
from cache_invalidation.explain.known import Known
from cache_invalidation.explain.readers import FunctionEntry, dependent_on, functions_known
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from cache_invalidation.metrics.shapes import Metrics
from cache_invalidation.operations.names import KnownNames
from cache_invalidation.operations.overview import overview
from cache_invalidation.reads.hints import hints
from tests.delivered import update_behind_the_back
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

NAME = "cache:product:*"


class Rule(ModelInvalidation):
    keys = ["front"]
    patterns = ["list:{category_id}:*"]


@pytest.fixture(autouse=True)
def counted(cache: Any, product: Product) -> None:
    reset_metrics()


def names() -> list[str]:
    return list(Product.objects.values_list("name", flat=True))


def broken() -> None:
    raise LookupError


def ask(cache: Any, key: str) -> Any:
    with unit_of_work():
        return cache.get_or_set(key, names)


def counts(name: str = NAME) -> tuple[int, ...]:
    rates = read_metrics()["functions"][name]
    return rates["hits"], rates["misses"], rates["bypasses"]


def details(name: str = NAME) -> tuple[dict[str, int], dict[str, int]]:
    found: Metrics = read_metrics()
    return found["stored"].get(name, {}), found["not_stored"].get(name, {})


def entry_of(name: str) -> FunctionEntry:
    (found,) = [each for each in functions_known(Known()) if each["function"] == name]
    return found


def test_reads_are_counted_by_pattern(cache):
    ask(cache, "product:1"), ask(cache, "product:1"), ask(cache, "shop:1")
    with unit_of_work():
        cache.get_many(["product:1", "product:2"])
    assert counts() == (2, 2, 0)
    assert counts("cache:shop:*") == (0, 1, 0)


def test_what_is_stored_is_counted_by_pattern(cache):
    ask(cache, "product:1")
    with unit_of_work():
        assert cache.get("product:2") is None
        assert cache.set("product:2", names())
    assert details() == ({"sealed": 2}, {})


def test_what_is_blind_is_counted_by_pattern(cache):
    assert cache.set("shop:blind:1", "x")
    assert cache.add("shop:lock", "x")
    assert not cache.add("shop:lock", "y")
    with pytest.warns(match="nobody knows what it was made from"):
        assert not cache.set("product:1", "x")
    assert details("cache:shop:*") == ({"blind": 2}, {})
    assert details() == ({}, {"blind": 1})


def test_what_is_not_stored_is_counted_with_the_reason(cache, product):
    with pytest.raises(LookupError), unit_of_work():
        cache.get_or_set("product:1", broken)
    with unit_of_work():
        assert cache.get("product:2") is None
        found = names()
        product.save()
        assert not cache.set("product:2", found)
    assert details() == ({}, {"exception": 1, "dependencies": 1})


def test_the_command_and_the_dashboard_show_it(cache):
    ask(cache, "product:1"), ask(cache, "product:1"), cache.set("shop:blind:1", "x")
    with pytest.raises(LookupError), unit_of_work():
        cache.get_or_set("product:2", broken)
    output = StringIO()
    call_command("cache_metrics", stdout=output)
    lines = [line.strip() for line in output.getvalue().splitlines()]
    assert f"{NAME}  33.3% hits (1 hits, 2 misses, 0 bypasses)" in lines
    assert f"{NAME}  not stored  exception 1" in lines
    assert f"{NAME}  stored  sealed 1" in lines
    assert "cache:shop:*  stored  blind 1" in lines
    text = shown("dashboard/")
    assert f"{NAME} 33.3 % 1 2" in text
    assert f"{NAME} exception 1" in text
    assert f"{NAME} sealed 1" in text
    assert "cache:shop:* blind 1" in text


def test_rest_shows_it_and_drops_it(cache, product):
    ask(cache, "product:1")
    client = operator()
    with override_settings(ROOT_URLCONF="tests.api.urls"):
        metrics = client.get("/api/system/metrics/cache").json()
        assert metrics["functions"][NAME]["misses"] == 1
        assert metrics["stored"] == {NAME: {"sealed": 1}}
        registry = client.get("/api/system/cache/registry", {"search": NAME}).json()
        assert [each["found"] for each in registry["functions"]] == [["testapp.product"]]
        update_behind_the_back(Product.objects.filter(pk=product.pk), name="new")
        done = client.post(
            "/api/system/cache/invalidate", {"functions": [NAME]}, content_type="application/json"
        )
    assert done.json()["result"] == "done"
    assert ask(cache, "product:1") == ["new"]


def operator() -> Client:
    """Return a client for somebody who may do everything."""
    client = Client()
    client.force_login(User.objects.create_superuser(f"user{User.objects.count()}"))
    return client


def shown(path: str, **data: Any) -> str:
    """Return the words of a page of the admin."""
    client = operator()
    with override_settings(ROOT_URLCONF="tests.admin.urls"):
        address = f"/admin/cache_invalidation/{path}"
        response = client.post(address, data) if data else client.get(address)
    assert response.status_code == 200
    return " ".join(re.sub(r"<[^>]*>", " ", response.content.decode()).split())


def test_a_pattern_is_in_the_registry_before_anybody_uses_it(cache):
    entry = entry_of(NAME)
    assert (entry["loaded"], entry["tags"], entry["found"]) == (True, None, [])
    assert entry["timeout"] == cache.default_timeout == 300


def test_a_pattern_is_in_the_registry_with_what_it_was_found_to_depend_on(cache):
    ask(cache, "product:1")
    assert entry_of(NAME)["found"] == ["testapp.product"]
    names = [each["function"] for each in overview(Product)["functions"]]
    assert NAME in names
    assert "cache:shop:*" not in names
    assert NAME not in [each["function"] for each in overview(Category)["functions"]]
    hints.clear()  # As in a process that has not asked for it, and is told of it.
    assert entry_of(NAME)["found"] == ["testapp.product"]


def test_what_this_process_has_found_out_is_known_without_the_others(cache):
    ask(cache, "product:1")
    ask(cache, "product:1")
    reset_metrics()
    assert entry_of(NAME)["found"] == ["testapp.product"]


def test_it_is_explained_what_may_become_stale(cache):
    ask(cache, "product:1")
    assert NAME in explain(Product).dependent()
    assert NAME not in explain(Category).dependent()
    output = StringIO()
    call_command("explain_invalidation", "testapp.Product", stdout=output)
    assert NAME in [line.strip() for line in output.getvalue().splitlines()]


def test_keys_and_patterns_of_rules_lead_to_what_tracks_them():
    with registry.override(Product, Rule):
        dependent = explain(Product).dependent()
        assert {"cache:front", "cache:list:*:*"} <= {*dependent}
        assert not {NAME, "cache:names"} & {*dependent}
        names = [each["function"] for each in overview(Product)["functions"]]
        assert {"cache:front", "cache:list:*:*"} <= {*names}
        text = shown("registry/")
        assert "key front read by cache:front" in text
        assert "pattern list:{category_id}:* read by cache:list:*:*" in text


def test_keys_and_patterns_that_are_named_by_hand_lead_there_too():
    assert dependent_on((), Known(), ["product:1"], []) == [NAME]
    assert dependent_on((), Known(), ["elsewhere"], ["product:1:*", "elsewhere:*"]) == [NAME]
    stale = shown("invalidate/", keys="product:1").partition("What may become stale")[2]
    assert f" {NAME}" in stale
    assert "cache:shop:*" not in stale


def test_all_of_it_goes_by_name_although_nothing_was_counted(cache, product):
    ask(cache, "product:1"), ask(cache, "shop:1")
    reset_metrics()
    update_behind_the_back(Product.objects.filter(pk=product.pk), name="new")
    (named,) = KnownNames().find(NAME)
    assert named.kind == "function"
    call_command("invalidate_cache", NAME, verbosity=0)
    assert (ask(cache, "product:1"), ask(cache, "shop:1")) == (["new"], ["old"])
    with pytest.raises(ValueError, match=re.escape("Did you mean cache:product:*")):
        KnownNames().find("cache:produkt:*")


def test_where_nothing_is_tracked_nothing_is_known_of_it(settings):
    settings.CACHE_INVALIDATION = {"CACHE": "default"}
    reset_metrics()
    assert not [name for name in Known().names["function"] if name.startswith("cache:")]
    assert NAME not in dependent_on((), Known(), ["product:1"], ["product:*"])
