"""The numbers of the dashboard, in good times and bad."""

import json
import re
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cache_invalidation import cached, invalidate
from cache_invalidation.admin import charts, numbers
from cache_invalidation.admin.tiles import Sums
from cache_invalidation.admin.verdict import verdict
from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.metrics.shapes import StoreState
from cache_invalidation.stores import get_store
from tests.admin.conftest import APP, last_entry, page, send
from tests.stores.steps import PATIENCE

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])


@cached(tags=["dashboard:{number}"], name="dashboard.page")
def secret(number: int) -> str:
    return "the value nobody may see"


def text_of(client, **query):
    """Return the words of the dashboard, without tags."""
    return " ".join(re.sub(r"<[^>]*>", " ", page(client, "dashboard/", **query)).split())


@pytest.mark.parametrize("period", ["hour", "day", "nonsense"])
def test_it_shows_what_was_counted(client, period):
    for _ in range(4):
        secret(1)
    invalidate(tags=["dashboard:1", "homepage"], keys=["menu"], entity_type="menu")
    counters.update({"failed": 2, "hits": 3, "hits:dashboard.page": 3})
    text = text_of(client, period=period)
    assert "85.7 % 6 hits, 1 misses, 0 bypasses" in text
    assert "dashboard.page 85.7 % 6 1" in text
    assert "Entity type Invalidations" in text
    assert "menu 1" in text
    assert "dashboard:1 homepage keys menu" in text
    assert "Not all of it. 2 targets could not be invalidated" in text
    assert "Failed 2 targets not invalidated" in text
    assert "Cache “default” Working" in text


def test_the_numbers_of_a_period_are_of_that_period(client, monkeypatch):
    now = time.time()
    for hours, counts in ((2, {"hits": 90, "failed": 7}), (0, {"hits": 1, "misses": 3})):
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda hours=hours: now - 3600 * hours)
            get_store().count(counts, [])
    hour, day = text_of(client, period="hour"), text_of(client, period="day")
    assert "25 % 1 hits, 3 misses, 0 bypasses in the last hour" in hour
    assert "Failed 0 targets not invalidated in the last hour" in hour
    assert "91 hits, 3 misses, 0 bypasses in the last day" in day
    assert "Failed 7 targets not invalidated in the last day" in day


def test_what_is_answered_from_memory_is_shown_once_there_is_something(client, monkeypatch):
    secret(1)
    assert "from memory" not in text_of(client)
    now = time.time()
    near = {"hits": 40, "near:dashboard.page": 30, "hits:dashboard.page": 40}
    waits = {"waits:menu": 2, "waited_us:menu": 30_000}
    named = {"waits_for:dashboard.page": 1, "waited_for_us:dashboard.page": 5_000}
    for hours, times in ((2, 1), (0, 2)):
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda hours=hours: now - 3600 * hours)
            counts = {name: times * n for name, n in {**near, **waits, **named}.items()}
            get_store().count(counts, [])
    hour, day = text_of(client, period="hour"), text_of(client, period="day")
    assert "Answered from memory 75 % 60 hits asked nobody in the last hour" in hour
    assert "Writers waited 60 ms for processes to drop it, in 4 writes in the last hour" in hour
    assert "90 hits asked nobody in the last day Writers waited 90 ms" in day
    about = re.sub(r"<[^>]*>", " ", page(client, "registry/name/", name="dashboard.page"))
    about = " ".join(about.split())
    assert "Answered from memory 75 % 60 hits asked nobody in the last hour" in about
    assert "Writers waited 10 ms for processes to drop it, in 2 writes in the last hour" in about


def test_the_questions_come_in_the_order_in_which_they_are_asked(client):
    text = page(client, "dashboard/")
    questions = ["working", "saving", "costing", "advice", "happened"]
    places = [text.index(f'<h2 id="ci-{question}"') for question in questions]
    assert places == sorted(places)
    assert f'class="button" href="{APP}advice/"' in text


WORKING = StoreState(alias="default", state="working", since=None, reason="", outages=0)


def summed(**counts):
    nothing = dict.fromkeys(("bypasses", "failed", "near_hits", "waits", "waited"), 0)
    return Sums(**{"hits": 1, "misses": 1, **nothing, "within": "today", **counts})


@pytest.mark.parametrize(
    ("about", "answer"),
    [
        ({}, "Yes."),
        ({"sums": summed(hits=0, misses=0)}, "Yes."),
        ({"waiting": 3}, "Nearly."),
        ({"waiting": 3, "sums": summed(failed=1)}, "Not all of it."),
        ({"sums": summed(failed=1), "stale": 1}, "No."),
        ({"state": {**WORKING, "state": "recovering"}}, "Not yet."),
        ({"state": {**WORKING, "state": "down"}}, "No."),
        ({"sums": None}, "No."),
    ],
)
def test_the_answer_is_the_worst_that_is_known(about, answer):
    found = {"state": WORKING, "waiting": 0, "sums": summed(), "stale": 0, **about}
    metrics: Any = {"stale_hits": found["stale"]}
    assert verdict(found["state"], found["waiting"], metrics, found["sums"]).answer == answer


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, numbers.NOTHING),
        (0, "0 ms"),
        (0.0005, "0.5 ms"),
        (0.05, "50 ms"),
        (1, "1 s"),
        (59.4, "59 s"),
        (90, "1.5 min"),
        (3600, "1 h"),
        (10_000_000, "2,778 h"),
    ],
)
def test_seconds_have_the_unit_that_fits(seconds, text):
    assert numbers.duration(seconds) == text


@pytest.mark.parametrize(
    ("part", "text"),
    [(0, "0 %"), (1, "0.01 %"), (5000, "50 %"), (9999, "99.99 %"), (10_000, "100 %")],
)
def test_nearly_all_is_not_all(part, text):
    assert numbers.percent(part, 10_000) == text


def test_it_shows_what_took_longest_to_compute_and_why(client):
    counters.detail(
        {("took", "dashboard.page", "0.05"): 20, ("microseconds", "dashboard.page"): 10**6}
    )
    counters.detail({("compared", "dashboard.page"): 20, ("equal", "dashboard.page"): 16})
    counters.detail({("dropped", "dashboard.page", "menu:{}"): 20})
    counters.update({"missed:dashboard.page:invalidated": 20, "hits:dashboard.page": 60})
    found = "dashboard.page 1 s 3 s 50 ms 100 % Invalidated (20) menu:{} (20) 16 of 20"
    assert found in text_of(client)


def test_it_shows_exactly_what_three_processes_did(client):
    command = [sys.executable, "-m", "tests.metrics.workload"]
    workers = [subprocess.Popen([*command, f"process{n}"], cwd=ROOT) for n in range(3)]
    assert [worker.wait(PATIENCE) for worker in workers] == [0, 0, 0]
    text = text_of(client)
    assert "75 % 90 hits, 30 misses, 0 bypasses" in text
    assert "workload 12" in text
    answer = client.get(f"{APP}dashboard/")
    assert answer.context["metrics"] == read_metrics()


def list_entries(number, **about):
    """Put entries into the list of the last invalidations."""
    entry = {
        **{"when": "2030-01-01T12:00:00+00:00", "entity_type": "shop", "cause": "update"},
        **{"targets": {"tags": [], "keys": [], "patterns": []}},
        **{"using": "default", "path": None, "latency": 0.001, **about},
    }
    get_store().count({}, [json.dumps({**entry, "path": f"/{n}/"}) for n in range(number)])


def test_what_was_invalidated_most_leads_to_its_rules_if_there_are_any(client):
    counters.update({"invalidations:testapp.shelf": 12345, "invalidations:manual": 3})
    found = page(client, "dashboard/").partition('id="ci-most"')[2]
    assert f'<a href="{APP}registry/?q=testapp.shelf">testapp.shelf</a>' in found
    assert "12,345" in found
    assert '<th scope="row">manual</th>' in found


def test_names_that_are_left_out_are_counted(client):
    targets = {"tags": ["a", "b"], "keys": ["menu"], "patterns": []}
    list_entries(1, targets=targets, sizes={"tags": 182, "keys": 1, "patterns": 0})
    assert "a b and 180 more tags keys menu 1 ms" in text_of(client)


def test_an_entry_without_sizes_is_taken_for_complete(client):
    list_entries(1, targets={"tags": ["a", "b"], "keys": [], "patterns": []})
    assert "a b 1 ms" in text_of(client)


@pytest.mark.parametrize(
    ("recent", "listed"),
    [("", 50), ("10", 10), ("60", 60), ("0", 50), ("-1", 50), ("all", 50), ("9999", 1000)],
)
def test_more_of_the_last_invalidations_are_listed_on_demand(client, recent, listed):
    list_entries(1001)
    text = page(client, "dashboard/", recent=recent, period="day")
    section = text[text.index('id="ci-recent"') :].partition("</section>")[0]
    assert section.count("<time ") == listed
    assert (">Show up to 1000</a>" in section) == (listed < 1000)
    assert ("recent=1000" in section) == (listed < 1000)


def test_values_are_not_shown(client):
    secret(1)
    secret(1)
    for path in ("dashboard/", "advice/", "registry/", "registry/?q=dashboard.page"):
        assert "nobody may see" not in page(client, path)


def test_the_backlog_is_that_of_all_databases(client, waiting):
    waiting("a")
    waiting("b", using="other")
    assert "Outbox 2 invalidations wait" in text_of(client)


def test_during_an_outage_there_are_the_state_and_the_backlog(client, waiting, down):
    waiting("a")
    text = text_of(client)
    assert "Down" in text
    assert "there are no counters to show" in text
    assert "Outbox 1" in text
    assert "1 outage seen by this process" in text


def test_a_cache_that_is_not_there_does_not_break_the_page(client, settings):
    settings.CACHE_INVALIDATION = {"CACHE": "nowhere"}
    text = text_of(client)
    assert "Not usable" in text
    assert "nowhere" in text


def test_resetting_sets_the_counters_to_zero(client):
    counters.update({"hits": 3})
    page(client, "dashboard/reset/")
    assert read_metrics()["hits"] == 3
    assert "All counters are zero" in send(client, "dashboard/reset/", reason="a new month")
    assert read_metrics()["hits"] == 0
    entry = last_entry()
    assert (entry.action, entry.origin, entry.user) == ("reset-metrics", "admin", "user0")
    assert (entry.reason, entry.result, entry.address) == ("a new month", "done", "127.0.0.1")


def test_a_reset_during_an_outage_fails_and_says_so(client, down):
    assert "nothing was reset" in send(client, "dashboard/reset/")
    assert last_entry().result == "failed"


def points(period="hour"):
    return charts.read_points(charts.PERIODS[period])


def test_tables_and_drawings_are_of_the_same_numbers(client):
    counters.update({"hits": 3, "misses": 1})
    counters.flush()
    found = charts.hit_rate(points())
    assert len(found.times) == 60
    assert found.as_dict()["series"][0]["values"][-1] == 75
    ((_, values),) = found.rows
    assert values == ["75", "3", "1", "0"]


def test_a_day_has_points_of_ten_minutes_that_add_up(monkeypatch):
    noon = 12 * 3600
    for second, counts in (
        (noon - 1, {"misses": 1}),
        (noon, {"misses": 3, "latency:0.001": 98}),
        (noon + 300, {"misses": 4, "latency:5": 2}),
    ):
        monkeypatch.setattr(time, "time", lambda second=second: second)
        get_store().count(counts, [])
    latency = charts.latency(points("day"))
    assert (len(latency.times), latency.times[-1]) == (144, noon)
    assert {b - a for a, b in pairwise(latency.times)} == {600}
    assert [series.values[-1] for series in latency.series] == [0.001, 0.001, 5]
    (misses,) = [
        series for series in charts.hit_rate(points("day")).series if series.label == "Misses"
    ]
    assert misses.values[-2:] == [1, 7]


def test_few_entity_types_have_lines_of_their_own():
    names = {f"invalidations:type{number}": 10 - number for number in range(8)}
    counters.update(names)
    counters.flush()
    labels = {series.label: series.values[-1] for series in charts.invalidations(points()).series}
    assert labels == {**{f"type{n}": 10 - n for n in range(6)}, "Others": 4 + 3}


def test_large_numbers_keep_their_digits():
    counters.update({"hits": 1_234_567, "misses": 0})
    counters.flush()
    ((_, values),) = charts.hit_rate(points()).rows
    assert values == ["100", "1,234,567", "0", "0"]


def test_a_table_leaves_out_what_is_empty():
    assert list(charts.failures(points()).rows) == []
    counters.update({"failed": 1})
    counters.flush()
    assert [values for _, values in charts.failures(points()).rows] == [["1"]]
