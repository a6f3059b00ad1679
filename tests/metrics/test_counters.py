"""Counting in the process, and adding it up in the store now and then."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cache_invalidation import cached, invalidate
from cache_invalidation.metrics.counters import Counters, counters
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.stores import get_store
from example_project.servers import ValkeyServer
from tests.stores.steps import wait_until

ROOT = Path(__file__).resolve().parents[2]


def stored(name: str) -> int:
    return int(get_store().counters().get(name, 0))


def run(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )


def finish(process: "subprocess.Popen[str]", status: int = 0) -> None:
    error = process.communicate()[1]
    assert process.returncode == status, error


@pytest.fixture
def own() -> Counters:
    """Counters that have been flushed once already."""
    own = Counters()
    own.flush()
    return own


def test_counts_wait_in_the_process_until_they_are_flushed(own: Counters):
    for _ in range(5):
        own.add("hits", "hits:page")
    own.add("misses")
    assert stored("hits") == 0
    own.flush()
    assert [stored("hits"), stored("hits:page"), stored("misses")] == [5, 5, 1]
    own.flush()
    assert stored("hits") == 5


def test_an_interval_that_is_none_fails_no_page(own: Counters, settings):
    settings.CACHE_INVALIDATION["METRICS_FLUSH_INTERVAL"] = "often"
    own.flush_at = 0
    own.add("hits")
    assert stored("hits") == 1


def test_deliveries_are_listed_while_others_are_flushed(own: Counters, settings):
    settings.CACHE_INVALIDATION["METRICS_FLUSH_INTERVAL"] = 3600
    own.delivered(0.1, {"number": 1})
    own._lock.acquire()  # As whoever is about to empty the list.
    thread = threading.Thread(target=own.delivered, args=(0.1, {"number": 2}))
    thread.start()
    thread.join(0.2)
    assert list(own._waiting.recent) == [{"number": 1}]
    own._lock.release()
    thread.join()
    own.flush()
    assert len(get_store().recent(10)) == 2


def test_counts_are_flushed_when_the_interval_is_over(own: Counters, settings):
    settings.CACHE_INVALIDATION["METRICS_FLUSH_INTERVAL"] = 0
    own.flush()
    own.add("hits")
    assert stored("hits") == 1
    own.add("hits")
    assert stored("hits") == 2


def test_the_first_count_of_a_process_is_visible_at_once():
    Counters().add("hits")
    assert stored("hits") == 1


def test_updating_never_flushes(settings):
    settings.CACHE_INVALIDATION["METRICS_FLUSH_INTERVAL"] = 0
    own = Counters()
    own.update({"failed": 3})
    assert stored("failed") == 0
    own.flush()
    assert stored("failed") == 3


def test_discarded_counts_never_arrive(own: Counters):
    own.add("hits")
    own.discard()
    own.flush()
    assert get_store().counters() == {}


def test_threads_lose_no_count(own: Counters, settings):
    settings.CACHE_INVALIDATION["METRICS_FLUSH_INTERVAL"] = 0.002
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: own.add("hits", "hits:page"), range(4_000)))
    own.flush()
    assert [stored("hits"), stored("hits:page")] == [4_000, 4_000]


def test_counts_survive_an_outage_of_the_store(settings, valkey: ValkeyServer):
    settings.CACHES = settings.CACHES | {
        "default": settings.CACHES["default"] | {"LOCATION": valkey.url}
    }

    @cached(tags=["a"], name="page")
    def page() -> str:
        return "value"

    page()
    counters.flush()
    valkey.kill()
    for _ in range(3):
        page()
        counters.flush()
    invalidate(tags=["a", "b"])
    valkey.start()
    wait_until(lambda: get_store().breaker.is_working)
    metrics = read_metrics()
    assert metrics["bypasses"] == 3
    assert metrics["functions"]["page"]["bypasses"] == 3
    assert metrics["failed_invalidations"] == 2


def test_a_flush_that_fails_does_not_raise(settings, valkey: ValkeyServer):
    settings.CACHES = settings.CACHES | {
        "default": settings.CACHES["default"] | {"LOCATION": valkey.url}
    }
    valkey.kill()
    own = Counters()
    own.add("hits")
    own.flush()
    valkey.start()
    wait_until(lambda: get_store().breaker.is_working)
    own.flush()
    assert stored("hits") == 1


def test_three_processes_add_up_exactly():
    processes = [run("-m", "tests.metrics.workload", f"process{n}") for n in range(3)]
    for process in processes:
        finish(process)
    metrics = read_metrics()
    assert (metrics["hits"], metrics["misses"], metrics["bypasses"]) == (90, 30, 0)
    assert metrics["hit_rate"] == 0.75
    assert metrics["functions"] == {
        "workload.page": {"hits": 90, "misses": 30, "bypasses": 0, "hit_rate": 0.75}
    }
    assert metrics["invalidations_by_entity_type"] == {"workload": 12}
    assert metrics["tag_invalidations"] == 24
    assert metrics["key_invalidations"] == 36
    assert metrics["pattern_invalidations"] == 12
    assert metrics["failed_invalidations"] == 0


def test_a_killed_process_loses_its_reads_since_the_last_flush_and_nothing_else():
    finish(run("-m", "tests.metrics.workload", "killed", "kill"), status=-9)
    finish(run("-m", "tests.metrics.workload", "survivor"))
    metrics = read_metrics()
    assert metrics["tag_invalidations"] == 16
    # Its first read was flushed at once.
    assert (metrics["hits"], metrics["misses"]) == (30, 11)


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_child_of_multiprocessing_counts_until_it_ends(method: str):
    code = f"""
import django; django.setup()
from multiprocessing import get_context
from tests.metrics.workload import work_alone
child = get_context({method!r}).Process(target=work_alone, args=("child",))
child.start()
child.join()
raise SystemExit(child.exitcode)
"""
    finish(run("-c", code))
    metrics = read_metrics()
    assert (metrics["hits"], metrics["misses"]) == (30, 10)


def test_a_process_that_ends_while_the_store_is_down_ends_well():
    code = """
import os; os.environ["REDIS_URL"] = "unix:///nobody-listens-here.sock"
import django; django.setup()
from tests.metrics.workload import work
work("alone")
"""
    finish(run("-c", code))


def test_a_child_does_not_count_what_its_parent_counted():
    code = """
import os, django; django.setup()
from cache_invalidation.metrics.counters import counters
counters.add("first")
counters.add("parent")
child = os.fork()
if not child:
    counters.add("child")
    counters.flush()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    finish(run("-c", code))
    assert [stored(name) for name in ("first", "parent", "child")] == [1, 1, 1]


def test_reads_are_counted_by_outcome_and_by_function():
    @cached(tags=["a"], name="shop.page")
    def page(number: int) -> int:
        return number

    @cached(tags=["a"], name="shop.other")
    def other() -> int:
        return 1

    for number in (1, 1, 2, 1):
        page(number)
    other()
    page.refresh(1)
    get_store().fence(["a"], [], "writer")
    other()
    metrics = read_metrics()
    assert (metrics["hits"], metrics["misses"]) == (2, 4)
    assert metrics["functions"]["shop.page"] == {
        "hits": 2, "misses": 2, "bypasses": 0, "hit_rate": 0.5
    }  # fmt: skip
    assert metrics["functions"]["shop.other"]["misses"] == 2


def test_nothing_is_flushed_twice_by_threads_that_flush_together(own: Counters):
    own.update({"hits": 100})
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: own.flush(), range(32)))
    assert stored("hits") == 100


def test_the_environment_of_the_test_run_reaches_other_processes(redis_url: Any):
    assert os.environ["DJANGO_SETTINGS_MODULE"] == "tests.settings"
    assert os.environ["REDIS_URL"] == redis_url
