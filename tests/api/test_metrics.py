"""GET metrics/cache and POST cache/reset-metrics."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from cache_invalidation import cached, invalidate
from cache_invalidation.metrics.report import read_metrics, read_minutes, read_recent
from cache_invalidation.metrics.shapes import Metrics, Minute
from cache_invalidation.models import AuditEntry
from tests.api.conftest import Api
from tests.stores.steps import PATIENCE

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parents[2]


@cached(tags=["a"], name="api.page")
def page() -> str:
    return "secret value"


def test_rest_the_command_and_python_agree_on_what_three_processes_did(api: Api):
    command = [sys.executable, "-m", "tests.metrics.workload"]
    workers = [subprocess.Popen([*command, f"process{n}"], cwd=ROOT) for n in range(3)]
    assert [worker.wait(PATIENCE) for worker in workers] == [0, 0, 0]
    data = api.get("metrics/cache").data
    out = io.StringIO()
    call_command("cache_metrics", format="json", stdout=out)
    assert data == read_metrics() == json.loads(out.getvalue())
    assert (data["hits"], data["misses"], data["hit_rate"]) == (90, 30, 0.75)
    assert data["functions"]["workload.page"]["hits"] == 90
    assert data["invalidations_by_entity_type"] == {"workload": 12}
    targets = ("tag_invalidations", "key_invalidations", "pattern_invalidations")
    assert [data[name] for name in targets] == [24, 36, 12]
    assert data["last_invalidation"]["entity_type"] == "workload"
    figures = data["figures"]["workload.page"]
    assert figures["missed"] == {"new": 30}
    assert figures["fills"] == figures["computed"] == 30
    assert figures["hit_fills"] == figures["sampled_fills"]
    dropped = {drop["tag"]: drop["deliveries"] for drop in data["dropped"]}
    assert dropped == {f"process{n}:{{}}": 4 for n in range(3)}


def test_all_counters_are_there_and_those_of_this_process_too(api: Api):
    page()
    page()
    data = api.get("metrics/cache").data
    assert set(data) == set(Metrics.__annotations__)
    assert (data["hits"], data["misses"]) == (1, 1)


def test_the_last_minutes_are_there_if_they_are_asked_for(api: Api):
    page()
    invalidate(tags=["x"])
    data = api.get("metrics/cache", minutes=3).data
    assert len(data["minutes"]) == 3
    assert data["minutes"] == json.loads(json.dumps(read_minutes(3)))
    assert all(set(minute) == set(Minute.__annotations__) for minute in data["minutes"])
    assert sum(minute["misses"] for minute in data["minutes"]) == 1
    assert len(api.get("metrics/cache", minutes=1440).data["minutes"]) == 1440
    assert "minutes" not in api.get("metrics/cache", minutes=0).data


def test_the_last_invalidations_are_there_if_they_are_asked_for(api: Api):
    for number in range(3):
        api.invalidate(tags=[f"{number}:{row}" for row in range(30)])
    data = api.get("metrics/cache", recent=2).data
    assert [entry["sizes"]["tags"] for entry in data["recent"]] == [30, 30]
    assert data["recent"][0]["targets"]["tags"][0] == "2:0"
    assert data["recent"] == json.loads(json.dumps(read_recent(2)))
    assert len(api.get("metrics/cache", recent=1000).data["recent"]) == 3
    assert "recent" not in api.get("metrics/cache", recent=0).data
    for bad in ("-1", "1001", "x"):
        answer = api.get("metrics/cache", recent=bad)
        assert (answer.status, list(answer.data)) == (400, ["recent"])


@pytest.mark.parametrize("minutes", ["-1", "1441", "x", "1.5", "", "9" * 2000])
def test_minutes_that_make_no_sense_are_refused(api: Api, minutes: str):
    answer = api.get("metrics/cache", minutes=minutes)
    assert (answer.status, list(answer.data)) == (400, ["minutes"])


def test_a_reset_sets_the_counters_to_zero_and_is_written_down(api: Api):
    page()
    page()
    invalidate(tags=["x"])
    assert api.get("metrics/cache").data["hits"] == 1
    answer = api.post("cache/reset-metrics", {"reason": "a load test"})
    assert (answer.status, answer.data) == (200, {"result": "done"})
    data = api.get("metrics/cache").data
    assert (data["hits"], data["misses"], data["tag_invalidations"]) == (0, 0, 0)
    entry = AuditEntry.objects.get()
    assert api.user is not None
    assert (entry.action, entry.origin, entry.user, entry.user_key, entry.address) == (
        "reset-metrics",
        "rest",
        api.user.username,
        str(api.user.pk),
        "127.0.0.1",
    )
    assert (entry.reason, entry.result) == ("a load test", "done")


def test_a_reset_needs_no_body(api: Api):
    response: Any = api.client.post("/api/system/cache/reset-metrics")
    assert response.status_code == 415  # The test client says that it sends a form.
    response = api.client.generic("POST", "/api/system/cache/reset-metrics")
    assert response.status_code == 200


@pytest.mark.parametrize("body", [{"reason": 7}, {"reason": None}, {"why": "x"}, []], ids=str)
def test_a_reset_with_a_bad_body_does_nothing(api: Api, body: Any):
    page()
    assert api.post("cache/reset-metrics", body).status == 400
    assert api.get("metrics/cache").data["misses"] == 1


def test_values_of_entries_are_never_shown(api: Api):
    page()
    invalidate(keys=["k"])
    paths = ["metrics/cache?minutes=5", "cache/registry", "cache/advice", "cache/pending"]
    assert not any("secret" in json.dumps(api.get(path).data) for path in paths)
