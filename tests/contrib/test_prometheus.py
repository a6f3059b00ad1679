"""The collector for Prometheus, as a scraper reads it."""

import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from unittest import mock

import pytest
from django.db import connections
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from redis.connection import AbstractConnection

from cache_invalidation import cached, invalidate
from cache_invalidation.contrib import prometheus
from cache_invalidation.contrib.prometheus import CacheInvalidationCollector
from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.metrics.shapes import Metrics
from tests import processes
from tests.delivery.outbox.rows import let_wait
from tests.metrics.workload import work
from tests.outages import Use, down, notice, up, use
from tests.testapp.models import Product

__all__ = ["down", "up", "use"]

ROOT: Final = Path(__file__).resolve().parents[2]
DASHBOARD: Final = ROOT / "docs/_static/grafana-dashboard.json"
PREFIX: Final = "cache_invalidation_"

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])

Scraped = dict[str, dict[tuple[str, ...], float]]


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry with the collector, by the line that a project has."""
    registry = CollectorRegistry()
    registry.register(CacheInvalidationCollector())
    return registry


def scrape(registry: CollectorRegistry) -> Scraped:
    """Return all samples, by name without the prefix and by their labels, a name first."""
    found: Scraped = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            assert sample.name.startswith(PREFIX)
            ordered = sorted(sample.labels, key=lambda label: (label != "name", label))
            labels = tuple(sample.labels[label] for label in ordered)
            found.setdefault(sample.name.removeprefix(PREFIX), {})[labels] = sample.value
    return found


def labelled(counts: dict[str, dict[str, int]]) -> dict[tuple[str, ...], float]:
    return {(one, two): n for one, found in counts.items() for two, n in found.items()}


NEAR_BY_TYPE = {
    "near_waits_total": "waits",
    "near_wait_seconds_total": "seconds",
    "near_silent_total": "silent",
}
NEAR_BY_NAME = {"near_waits_for_total": "waits", "near_wait_seconds_for_total": "seconds"}


def assert_agrees(scraped: Scraped, metrics: Metrics) -> None:
    """Check every number of the metrics that a scrape has."""
    outcomes = {"hit": "hits", "miss": "misses", "bypass": "bypasses"}
    for outcome, kind in outcomes.items():
        all_of_them: Any = metrics
        found = {name: n for (name, o), n in scraped["reads_total"].items() if o == outcome}
        rates: Any = metrics["functions"]
        assert found == {name: rates[name][kind] for name in rates}
        assert sum(found.values()) == all_of_them[kind]
    figures: Any = metrics["figures"]
    missed = {name: each["missed"] for name, each in figures.items()}
    assert scraped.get("misses_total", {}) == labelled(missed)
    assert scraped.get("not_stored_total", {}) == labelled(metrics["not_stored"])
    assert scraped.get("refreshes_total", {}) == labelled(metrics["refreshed"])
    for kind, field in {
        "computing_seconds_count": "computed",
        "computing_seconds_sum": "seconds",
        "fills_total": "fills",
        "filled_bytes_total": "bytes",
        "sampled_fills_total": "sampled_fills",
        "hit_fills_total": "hit_fills",
        "compared_refills_total": "compared_refills",
        "equal_refills_total": "equal_refills",
        "saved_seconds": "saved",
    }.items():
        wanted = {(name,): each[field] for name, each in figures.items() if each[field] is not None}
        assert scraped[kind] == wanted
    assert scraped["targets_total"] == {
        ("tag",): metrics["tag_invalidations"],
        ("key",): metrics["key_invalidations"],
        ("pattern",): metrics["pattern_invalidations"],
    }
    by_type = metrics["invalidations_by_entity_type"]
    assert scraped["invalidations_total"] == {(name,): n for name, n in by_type.items()}
    assert scraped.get("near_hits_total", {}) == {
        (name,): n for name, n in metrics["near_hits"].items()
    }
    for kinds, waits in (
        (NEAR_BY_TYPE, metrics["waits_by_entity_type"]),
        (NEAR_BY_NAME, metrics["waits_by_name"]),
    ):
        by_label: Any = waits
        for kind, field in kinds.items():
            wanted = {(name,): each[field] for name, each in by_label.items()}
            assert scraped.get(kind, {}) == wanted
    assert scraped["failed_invalidations_total"] == {(): metrics["failed_invalidations"]}
    assert scraped["pending_invalidations"] == {(): metrics["pending_invalidations"]}


def test_a_scrape_says_what_the_metrics_say_after_the_work_of_three_processes(
    registry: CollectorRegistry, up: Use
) -> None:
    up()
    for name in ("one", "two", "three"):
        processes.run([sys.executable, "-m", "tests.metrics.workload", name], ROOT, os.environ)
    found = scrape(registry)
    assert found["reads_total"]["workload.page", "hit"] == 3 * 30
    assert found["invalidations_total"]["workload",] == 3 * 4
    assert_agrees(found, read_metrics())


def test_latency_is_a_histogram_that_counts_each_delivery(
    registry: CollectorRegistry, up: Use
) -> None:
    up()
    for seconds in (0.0004, 0.0015, 0.0015, 100_000.0):
        counters.delivered(seconds, {})
    found = scrape(registry)["delivery_seconds_bucket"]
    assert found["0.0005",] == 1
    assert found["0.002",] == 3
    assert found["86400.0",] == found["+Inf",] == 4
    assert list(found.values()) == sorted(found.values())


def test_labels_are_names_and_never_keys(registry: CollectorRegistry, up: Use) -> None:
    up()

    @cached(tags="secret:{pk}", name="shown")
    def function(pk: str) -> str:
        return pk

    function("hidden")
    function("hidden")
    invalidate(tags=["secret:hidden"], keys=["hidden-key"], patterns=["hidden-*"])
    function("hidden")
    counters.flush()
    scraped = generate_latest(registry).decode()
    assert 'name="shown"' in scraped
    assert "hidden" not in scraped


def test_a_scrape_of_a_cache_that_is_down_says_so(registry: CollectorRegistry, down: Use) -> None:
    let_wait(2)
    found = scrape(registry)
    assert found["up"] == {(): 0}
    assert found["pending_invalidations"] == {(): 2}
    assert found["store_state"]["working",] == 0
    assert found["outages_total"] == {(): 1}
    assert "reads_total" not in found


def test_a_cache_that_is_known_to_be_down_is_not_asked(
    registry: CollectorRegistry, down: Use
) -> None:
    notice()
    asked_by: list[threading.Thread] = []

    def connect(connection: Any) -> None:
        asked_by.append(threading.current_thread())
        raise ConnectionError

    with mock.patch.object(AbstractConnection, "connect", connect):
        assert scrape(registry)["up"] == {(): 0}
    # Another thread waits for the cache.
    assert threading.current_thread() not in asked_by


def test_a_scrape_fails_of_nothing_else(registry: CollectorRegistry, up: Use) -> None:
    up()
    with mock.patch.object(prometheus, "metrics_of", side_effect=ValueError("nonsense")):
        assert scrape(registry)["up"] == {(): 0}
    assert scrape(registry)["up"] == {(): 1}


def test_a_cache_that_is_not_there_is_not_up(registry: CollectorRegistry, settings: Any) -> None:
    settings.CACHE_INVALIDATION = {"CACHE": "nowhere"}
    found = scrape(registry)
    assert found["up"] == {(): 0}
    assert "store_state" not in found


def test_registering_asks_nobody(down: Use) -> None:
    with mock.patch.object(prometheus, "read_counted") as read:
        CollectorRegistry(auto_describe=True).register(CacheInvalidationCollector())
    assert not read.called


def test_it_leaves_connections_as_they_were(registry: CollectorRegistry, up: Use) -> None:
    up()
    opened: list[Any] = []

    def scrape_elsewhere() -> None:
        scrape(registry)
        opened.extend(each.connection for each in connections.all())

    thread = threading.Thread(target=scrape_elsewhere)
    thread.start()
    thread.join()
    assert opened
    assert set(opened) == {None}
    assert Product.objects.count() == 0
    scrape(registry)
    assert connections["default"].connection is not None


def queries(node: Any) -> Iterator[str]:
    """Yield all expressions of a dashboard."""
    if isinstance(node, dict):
        yield from [node["expr"]] if "expr" in node else []
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from queries(each)


def test_the_dashboard_asks_for_metrics_and_labels_that_exist(
    registry: CollectorRegistry, up: Use
) -> None:
    up()
    work("alone")

    @cached(tags="unstorable", name="unstorable")
    def unstorable() -> object:
        return threading.Lock()

    unstorable()
    counters.update({"near:alone": 1, "waits_for:alone": 1, "waited_for_us:alone": 1})
    named: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            named.setdefault(sample.name, {"instance"}).update(sample.labels)
    asked = list(queries(json.loads(DASHBOARD.read_text())))
    assert len(asked) >= 10
    for query in asked:
        used = set(re.findall(rf"{PREFIX}\w+", query))
        assert used, query
        assert used <= named.keys(), query
        wanted = set(re.findall(r"(\w+)=~?\"", query))
        for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", query):
            wanted.update(group.split(", "))
        assert wanted <= set().union(*(named[name] for name in used)), query


def test_every_metric_is_documented(registry: CollectorRegistry, up: Use) -> None:
    up()
    page = (ROOT / "docs/how-to/monitoring.md").read_text()
    for family in registry.collect():
        counted = "_total" if family.type == "counter" else ""
        assert f"`{family.name.removeprefix(PREFIX)}{counted}`" in page
