"""After the work of three processes, everybody who shows numbers shows the same."""

import json
import os
import re
import sys
from html import unescape
from io import StringIO
from pathlib import Path
from typing import Any, Final

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import include, path
from prometheus_client import CollectorRegistry

from cache_invalidation.contrib.prometheus import CacheInvalidationCollector
from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.durations import duration
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.metrics.shapes import Metrics
from tests import processes
from tests.contrib.test_prometheus import assert_agrees, scrape

ROOT: Final = Path(__file__).resolve().parents[2]
NAME: Final = "workload.page"

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])

urlpatterns = [
    path("", include("tests.admin.urls")),
    path("", include("tests.api.urls")),
]


@pytest.fixture
def metrics(settings: Any, admin_client: Client) -> Metrics:
    """What Python says of the work of three processes. Who asks has logged in before."""
    settings.ROOT_URLCONF = __name__
    settings.CACHE_INVALIDATION = {"METRICS_FLUSH_INTERVAL": 3600}
    counters.discard()
    for name in ("one", "two", "three"):
        processes.run([sys.executable, "-m", "tests.metrics.workload", name], ROOT, os.environ)
    return read_metrics()


def text_of(client: Client, address: str) -> str:
    response: Any = client.get(f"/admin/cache_invalidation/{address}")
    assert response.status_code == 200
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", response.content.decode())).split())


def test_they_agree(metrics: Metrics, admin_client: Client) -> None:
    out = StringIO()
    call_command("cache_metrics", format="json", stdout=out)
    rest: Any = admin_client.get("/api/system/metrics/cache")
    assert metrics == json.loads(out.getvalue()) == rest.json()
    registry = CollectorRegistry()
    registry.register(CacheInvalidationCollector())
    assert_agrees(scrape(registry), metrics)
    assert (metrics["hits"], metrics["misses"], metrics["bypasses"]) == (90, 30, 0)

    dashboard = text_of(admin_client, "dashboard/")
    figures, rates = metrics["figures"][NAME], metrics["functions"][NAME]
    reads = "90 hits, 30 misses, 0 bypasses"
    assert f"75 % {reads}" in dashboard
    assert f"Computing saved {duration(figures['saved'])} " in dashboard
    assert f"Computing spent {duration(figures['seconds'])} " in dashboard
    assert "workload 12" in dashboard
    assert dashboard.count("workload manual") == 12
    assert "0 targets not invalidated" in dashboard

    about = text_of(admin_client, f"registry/name/?name={NAME}")
    assert (rates["hits"], rates["misses"]) == (90, 30)
    assert f"75 % {reads}" in about
    assert f"{figures['computed']} computed: half within {duration(figures['p50'])}," in about
    size = round(figures["bytes"] / figures["fills"])
    assert f"{size} bytes on average; {figures['fills']} stored" in about
    assert figures["missed"] == {"new": 30}
    assert "New 30 100 %" in about
    assert "Timeout \N{EN DASH}" in about  # Nobody here has loaded it.
