"""The Celery task that drains the outbox."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, shared_task
from celery.app import app_or_default
from celery.contrib.testing.worker import start_worker
from celery.signals import setup_logging
from django.core.cache import caches

from cache_invalidation.contrib.celery import drain_invalidations, warm_cache
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.models import PendingInvalidation
from example_project.servers import ValkeyServer
from tests.contrib.prefork import READS
from tests.contrib.refreshing import check_refresh, check_warm_up
from tests.delivered import delivered, update_behind_the_back
from tests.delivery.outbox.rows import let_wait
from tests.outages import Use, down, up, use
from tests.stores.steps import PATIENCE
from tests.testapp.models import Product

__all__ = ["down", "up", "use"]

ROOT = Path(__file__).resolve().parents[2]
DATABASES = ["default", "other", "sqlite"]

pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)


@pytest.fixture
def app() -> Iterator[Celery]:
    """A project's Celery, with a broker in memory."""
    before = app_or_default()
    app = Celery("tests", broker="memory://", backend="cache+memory://", set_as_current=True)
    app.conf.imports = ["cache_invalidation.contrib.celery"]
    app.conf.broker_transport_options = {"polling_interval": 0.05}  # seconds
    # Whoever answers this signal keeps Celery from configuring the log of this process.
    setup_logging.connect(_leave_the_log_alone)
    yield app
    setup_logging.disconnect(_leave_the_log_alone)
    app.close()
    # Else tasks that later tests share would be looked for in this one.
    before.set_current()


def _leave_the_log_alone(**message: Any) -> None:
    """Do nothing."""


def test_it_delivers_what_is_due_on_every_database(app: Celery, up: Use) -> None:
    up()
    let_wait(2)
    let_wait(1, "sqlite")
    with delivered() as found:
        assert drain_invalidations.apply().get() == 3
    assert found.tags == {"default:0", "default:1", "sqlite:0"}
    assert not PendingInvalidation.objects.exists()


def test_it_fails_while_the_store_is_down_and_leaves_what_waits(app: Celery, down: Use) -> None:
    let_wait(2)
    with pytest.raises(StoreUnavailable):
        drain_invalidations.apply(throw=True)
    assert [row.attempts for row in PendingInvalidation.objects.all()] == [1, 1]


def test_a_worker_finds_it_by_its_name(app: Celery, up: Use) -> None:
    up()
    let_wait(2)
    with start_worker(
        app,
        perform_ping_check=False,
        pool="solo",
        loglevel="ERROR",
        shutdown_timeout=PATIENCE,
    ):
        app.send_task("cache_invalidation.drain_invalidations", ignore_result=False).get(
            timeout=PATIENCE
        )
    assert not PendingInvalidation.objects.exists()


def test_a_child_of_the_pool_counts_until_it_ends(valkey: ValkeyServer) -> None:
    broker = f"redis+socket://{valkey.socket}"
    Celery("prefork", broker=broker).send_task("prefork.read")
    command = [sys.executable, "-m", "tests.contrib.prefork", broker]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    rates = read_metrics()["functions"]["prefork.page"]
    assert (rates["hits"], rates["misses"]) == (READS - 1, 1)


def test_its_result_is_not_kept(app: Celery) -> None:
    task: Any = drain_invalidations
    assert task.ignore_result


@shared_task
def _cached_name(pk: int) -> str | None:
    cache = caches["tracked"]
    found: str | None = cache.get_or_set("names", lambda: Product.objects.get(pk=pk).name)
    return found


def test_each_task_is_a_unit_of_work(app: Celery, settings: Any) -> None:
    settings.CACHE_INVALIDATION = {"CACHE": "tracked"}
    product = Product.objects.create(name="old")
    assert list(Product.objects.all())  # Of which nobody knows whether it goes into what is set.
    assert _cached_name.apply((0,)).state == "FAILURE"
    assert _cached_name.apply((product.pk,)).get() == "old"
    update_behind_the_back(Product.objects.all(), name="unseen")
    assert _cached_name.apply((product.pk,)).get() == "old"
    Product.objects.update(name="new")
    assert _cached_name.apply((product.pk,)).get() == "new"


def test_a_worker_refreshes_what_somebody_else_has_hit(app: Celery, settings: Any) -> None:
    app.conf.task_always_eager = True
    app.conf.task_serializer = "json"
    check_refresh(settings, "cache_invalidation.contrib.celery.refresh")


def test_a_worker_warms_the_cache(app: Celery) -> None:
    check_warm_up(lambda: warm_cache.apply((10.0, 0.5)).get())
