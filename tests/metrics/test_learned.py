"""What functions, pages and blocks were found to depend on, shared by all processes."""

import os
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from cache_invalidation import cached
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.metrics import counters as module
from cache_invalidation.metrics.counters import Counters, counters
from cache_invalidation.metrics.report import read_learned, reset_metrics
from cache_invalidation.stores import get_store
from cache_invalidation.tags import function_tag
from tests.delivered import commands
from tests.testapp.models import Category, Product, Tag

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

ROOT = Path(__file__).resolve().parents[2]


@cached(name="learned.inner")
def inner() -> int:
    return Category.objects.count()


@cached(name="learned.outer")
def outer(pk: int) -> int:
    return Product.objects.filter(pk=pk).count() + inner()


@cached(name="learned.declared", tags=[Tag])
def declared() -> int:
    return Tag.objects.count() + inner()


@pytest.fixture
def own() -> Counters:
    """Counters that have been flushed once already, to a server that is known."""
    get_store().counters()
    own = Counters()
    own.flush()
    return own


def test_what_is_found_out_is_in_the_store():
    outer(1)
    assert read_learned() == {
        "learned.inner": {"testapp.category"},
        "learned.outer": {
            *("testapp.product:*", "testapp.category", function_tag("learned.inner")),
        },
    }


def test_declared_tags_are_nothing_that_was_found_out():
    declared()
    found = read_learned()["learned.declared"]
    assert found == {"testapp.category", function_tag("learned.inner")}


def test_it_is_written_once_and_together_with_the_counters(own: Counters, redis_client: Any):
    own.add("misses")
    own.found("page", ["shop.product:1", "shop.product:2", "*"])
    with commands(redis_client) as sent:
        own.flush()
    assert sent["eval"] == 2
    assert get_store().learned() == {"page": {"shop.product:*"}}
    own.found("page", ["shop.product:3"])
    with commands(redis_client) as sent:
        own.flush()
    assert "eval" not in sent


def test_no_miss_and_no_hit_waits_for_it(redis_client: Any):
    inner()
    inner.invalidate()
    with commands(redis_client) as first:
        inner()
    counters.discard()
    inner.invalidate()
    with commands(redis_client) as second:
        inner()
    assert first == second


def test_the_store_is_told_again_after_an_hour(own: Counters, monkeypatch: pytest.MonkeyPatch):
    own.found("page", ["a"])
    own.flush()
    get_store().reset_counters()
    own.found("page", ["a"])
    own.flush()
    assert get_store().learned() == {}
    now = monotonic() + module.TELL_AGAIN
    monkeypatch.setattr(module, "monotonic", lambda: now)
    own.found("page", ["a"])
    own.flush()
    assert get_store().learned() == {"page": {"a"}}


def test_a_reset_begins_anew():
    inner()
    assert read_learned()
    reset_metrics()
    assert read_learned() == {}
    inner.refresh()
    assert read_learned() == {"learned.inner": {"testapp.category"}}


def test_a_process_remembers_no_more_than_the_store(own: Counters, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "NAMES_FOUND", 2)
    monkeypatch.setattr(module, "TAGS_FOUND", 3)
    for name in ("one", "two", "three"):
        own.found(name, [f"tag{number}" for number in range(9)])
    own.found("one", ["another"])
    own.flush()
    assert get_store().learned() == {
        "one": {"tag0", "tag1", "tag2"},
        "two": {"tag0", "tag1", "tag2"},
    }


def test_what_the_store_did_not_take_is_told_later(own: Counters, monkeypatch: pytest.MonkeyPatch):
    own.found("page", ["a"])
    with monkeypatch.context() as patch:
        patch.setattr(type(get_store()), "count", _refuse)
        own.flush()
    own.flush()
    assert get_store().learned() == {"page": {"a"}}


def _refuse(*args: Any) -> None:
    raise StoreUnavailable("no")


def test_other_processes_are_heard_of():
    code = """
import django; django.setup()
from cache_invalidation import cached
@cached(name="learned.price", tags=["price:{number}"])
def price(number):
    return number
@cached(name="learned.elsewhere")
def page():
    return price(3)
page()
"""
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
    expected = {"learned.elsewhere": {"price:*", function_tag("learned.price")}}
    assert read_learned() == expected
