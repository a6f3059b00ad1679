"""What is counted of values near: hits, and who made writers wait."""

from collections.abc import Callable
from functools import partial
from io import StringIO
from threading import Event
from typing import Any

import pytest
from django.core.management import call_command
from prometheus_client import CollectorRegistry

from cache_invalidation.contrib.prometheus import CacheInvalidationCollector
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.stores.near.waiting import holder_name
from cache_invalidation.stores.redis.store import RedisStore
from tests.contrib.test_prometheus import assert_agrees, scrape
from tests.near.conftest import has_lease, keep_elsewhere, until
from tests.near.test_functions import name_of
from tests.stores.steps import PATIENCE
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "tests.near.test_functions.name_of"


def test_near_hits_and_waits_are_counted(store, other, product):
    for _ in range(5):
        name_of(product.pk)
    assert read_metrics()["near_hits"] == {NAME: 4}
    holder = hold_silently(other, store.entry_place(name_of.key(product.pk)))
    product.save()
    (found,) = read_metrics()["waits_by_entity_type"].values()
    assert (found["waits"], found["silent"]) == (1, 1)
    assert found["seconds"] > 0
    assert not read_metrics()["waits_by_name"]  # Nobody knows what he kept.
    assert not other.renew(holder, 0, {})  # It was buried, and has to begin anew.


def hold_silently(other: RedisStore, entry: str) -> str:
    """Have somebody hold the entry who never answers, such as a process that was killed."""
    holder = holder_name("silent", 0.01)
    other.renew(holder, 0, {}, joins=True)
    assert other.hold(entry, (), holder).stamp
    return holder


@pytest.fixture
def keep(other: RedisStore) -> Callable[[str, str], None]:
    """Have the other process keep an entry under a name."""

    return partial(keep_elsewhere, other)


@pytest.fixture
def answers_late(store: Any, other: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process drops what it keeps once a writer waits for that, and not before."""
    waits, wait = Event(), store._wait
    until(lambda: has_lease(other))
    memory = other.near.memory
    drop = memory.drop

    def waited(*args: Any) -> None:
        waits.set()
        wait(*args)

    def dropped(*args: Any) -> set[str]:
        assert waits.wait(PATIENCE)
        return drop(*args)

    monkeypatch.setattr(store, "_wait", waited)
    monkeypatch.setattr(memory, "drop", dropped)


def test_so_is_by_name_who_made_a_writer_wait(store, product, keep, answers_late):
    name_of(product.pk)
    keep(store.entry_place(name_of.key(product.pk)), NAME)
    name_of.invalidate(product.pk)
    metrics = read_metrics()
    (waited,) = metrics["waits_by_entity_type"].values()
    found = metrics["waits_by_name"][NAME]
    assert (found["waits"], waited["waits"], waited["silent"]) == (1, 1, 0)
    assert 0 < found["seconds"] <= waited["seconds"]
    assert f"keep this near\n    {NAME}  1 times, " in printed("cache_metrics")
    assert "    writers      waited 1 times, " in printed("cache_metrics", name=NAME)
    registry = CollectorRegistry()
    registry.register(CacheInvalidationCollector())
    scraped = scrape(registry)
    assert_agrees(scraped, metrics)
    assert scraped["near_waits_for_total"] == {(NAME,): 1}


def printed(command: str, **options: str) -> str:
    out = StringIO()
    call_command(command, stdout=out, **options)
    return out.getvalue()


def test_who_has_answered_when_a_writer_looks_made_nobody_wait(
    store, other, product, keep, monkeypatch
):
    name_of(product.pk)
    keep(store.entry_place(name_of.key(product.pk)), "near.menu")
    fence = store.fence

    def fenced(*args: Any) -> Any:
        told, answers = fence(*args), f"{store._near}a:{args[2]}"
        until(lambda: not told.heard(store._servers.ask("LRANGE", answers, 0, -1)))
        return told

    monkeypatch.setattr(store, "fence", fenced)
    Product.objects.update(name="new")
    assert len(other.near.memory) == 0
    metrics = read_metrics()
    assert (metrics["waits_by_entity_type"], metrics["waits_by_name"]) == ({}, {})
