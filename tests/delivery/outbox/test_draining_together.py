"""Several drainers at once, drainers that are killed, and writers who do not wait for any."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection, transaction

from cache_invalidation.delivery.outbox import draining
from cache_invalidation.delivery.outbox.draining import BATCH, drain
from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.models import PendingInvalidation
from tests.cursors import execute
from tests.delivered import delivered
from tests.delivery.outbox.rows import let_wait, rows
from tests.elsewhere import apart, elsewhere
from tests.outages import Use
from tests.stores.steps import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = 20 * BATCH

Start = Callable[..., "subprocess.Popen[str]"]


def delivered_tags() -> int:
    """Return how many tags were delivered; each as often as it was."""
    counters.discard()
    return read_metrics()["tag_invalidations"]


@pytest.fixture
def start() -> Start:
    """Start a process that drains, as soon as it is told to."""

    def start(*arguments: str) -> "subprocess.Popen[str]":
        environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.consistency.victim_settings"}
        command = [sys.executable, "-m", "tests.delivery.outbox.drainer"]
        return subprocess.Popen(
            [*command, str(connection.settings_dict["NAME"]), *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    return start


def says(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def let_go(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_processes_that_drain_together_deliver_each_row_once(up: Use, start: Start) -> None:
    up()
    let_wait(ROWS)
    drainers = [start("waits") for _ in range(3)]
    assert [says(drainer) for drainer in drainers] == ["ready\n"] * 3
    for drainer in drainers:
        let_go(drainer)
    # Each of them has rows of its own now, while the others have theirs.
    assert [says(drainer) for drainer in drainers] == ["waiting\n"] * 3
    for drainer in drainers:
        let_go(drainer)
    shares = [int(drainer.communicate(timeout=PATIENCE)[0]) for drainer in drainers]
    assert sum(shares) == ROWS
    assert min(shares) >= BATCH
    assert rows() == []
    assert delivered_tags() == ROWS
    assert read_metrics()["invalidations_by_entity_type"] == {"thing": ROWS}


@pytest.mark.django_db(transaction=True, databases=["sqlite"])
def test_threads_that_drain_sqlite_together_deliver_each_row_once(up: Use) -> None:
    up()
    let_wait(1000, "sqlite")
    together = Barrier(3)

    @apart
    def run() -> int:
        together.wait()
        return sum(drain("sqlite"))

    with ThreadPoolExecutor(3) as pool:
        shares = [future.result(PATIENCE) for future in [pool.submit(run) for _ in range(3)]]
    assert sum(shares) == 1000
    assert rows("sqlite") == []
    assert delivered_tags() == 1000


@pytest.mark.parametrize(("dies", "told"), [("before", 2 * BATCH), ("after", 3 * BATCH)])
def test_a_drainer_that_is_killed_loses_nothing(
    up: Use, start: Start, dies: str, told: int
) -> None:
    up()
    let_wait(5 * BATCH)
    drainer = start(dies)
    drainer.communicate("go\n", timeout=PATIENCE)
    assert drainer.returncode == -signal.SIGKILL
    assert delivered_tags() == told
    assert len(rows()) == 3 * BATCH, "those of the batch that was on its way are still there"
    assert sum(drain("default")) == 3 * BATCH
    assert rows() == []
    assert delivered_tags() == told + 3 * BATCH


def drain_without_waiting() -> int:
    """Drain as another process does, and fail rather than wait long for a lock."""

    def run() -> int:
        execute("default", "SET lock_timeout = '20s'")
        return sum(drain("default"))

    return elsewhere(run)


def test_rows_that_somebody_else_delivers_are_not_waited_for(up: Use) -> None:
    up()
    let_wait(3)
    locked = rows()[1]
    with delivered() as found, transaction.atomic():
        PendingInvalidation.objects.select_for_update().get(pk=locked.pk)
        assert drain_without_waiting() == 2
    assert found.tags == {"default:0", "default:2"}
    assert rows() == [locked]


def test_a_whole_batch_that_somebody_else_delivers_does_not_end_the_drain(up: Use) -> None:
    up()
    let_wait(2 * BATCH + 5)
    with transaction.atomic():
        assert len(PendingInvalidation.objects.select_for_update()[: 2 * BATCH]) == 2 * BATCH
        assert drain_without_waiting() == 5


def test_writers_and_drainers_do_not_wait_for_each_other(
    up: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Any = draining
    send = real.send

    def write_and_send(*args: Any) -> Any:
        # The drainer has its rows locked now; the writer inserts one and commits.
        elsewhere(write)
        return send(*args)

    def write() -> None:
        execute("default", "SET lock_timeout = '20s'")
        let_wait(1)

    up()
    let_wait(2)
    monkeypatch.setattr(draining, "send", write_and_send)
    monkeypatch.setattr(draining, "BATCH", 2)
    with transaction.atomic():
        let_wait(1)  # A writer that has not committed yet.
        drained = elsewhere(lambda: next(iter(drain("default"))))
    assert drained == 2
    assert len(rows()) == 2


def test_rows_written_meanwhile_are_delivered_by_the_same_drain(
    up: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    up()
    let_wait(2)
    monkeypatch.setattr(draining, "BATCH", 2)
    steps = drain("default")
    assert next(steps) == 2
    let_wait(1)
    assert list(steps) == [1, 0]
