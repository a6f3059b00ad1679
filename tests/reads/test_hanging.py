"""Functions that never come back, in the background: others are refreshed all the same."""

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cache_invalidation import cached
from cache_invalidation.reads import ahead
from cache_invalidation.reads import background as threads
from cache_invalidation.reads.background import background
from tests.reads.aging import TIMEOUT, aged, hit_when_due, nothing_begun, refreshed, settle
from tests.stores.steps import PATIENCE, wait_until

__all__ = ["nothing_begun"]

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "hanging.function"


@pytest.fixture
def hanging() -> Iterator[Any]:
    """A function that hangs in the background where its argument is below a limit."""
    opened = threading.Event()

    @cached(timeout=TIMEOUT, refresh=True, name=NAME)
    def function(number: int, limit: int) -> str:
        if threading.current_thread().name == "cache_invalidation" and number < limit:
            assert opened.wait(PATIENCE)
        return f"{number} {threading.get_ident()}"

    function.__dict__["opened"] = opened
    yield function
    opened.set()
    settle()


def await_hanging(number: int) -> None:
    """Wait until so many threads do something, and nothing waits for one of them."""
    deadline = time.monotonic() + PATIENCE
    while background._queue or len(background._threads) < number:
        assert time.monotonic() < deadline, "nothing is begun"
        time.sleep(0.01)


def test_those_that_hang_keep_others_from_nothing(hanging, monkeypatch, caplog):
    limit = threads.THREADS
    for number in range(limit + 1):
        hanging(number, limit)
    for number in range(limit):
        hit_when_due(hanging, number, limit)
    await_hanging(limit)
    before = hanging(limit, limit)
    hit_when_due(hanging, limit, limit)  # It waits for a thread.
    assert len(background._queue) == 1
    monkeypatch.setattr(threads, "LONGEST", 0.0)
    ahead._turns._next.clear()
    with aged():
        hanging(limit, limit)  # He who has no turn finds out.
    deadline = time.monotonic() + PATIENCE
    while hanging(limit, limit) == before:
        assert time.monotonic() < deadline, "it still waits"
        time.sleep(0.01)
    wait_until(lambda: "stored" in refreshed(NAME))  # It is counted when others have it already.
    assert refreshed(NAME) == {"hanging": limit, "stored": 1}
    errors = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert "may hang" in errors[0].getMessage()


def test_there_are_not_more_threads_than_a_few_that_hang(hanging, monkeypatch):
    most = threads.THREADS + threads.HANGING
    room = most + threads.QUEUE
    for number in range(room + 1):
        hanging(number, room + 1)
    monkeypatch.setattr(threads, "LONGEST", 0.0)
    for number in range(most):
        hit_when_due(hanging, number, room + 1)
        await_hanging(number + 1)
    for number in range(most, room + 1):
        hit_when_due(hanging, number, room + 1)
    assert len(background._threads) == most
    assert refreshed(NAME)["dropped"] == 1


def test_those_that_come_back_work_on_or_end(hanging, monkeypatch):
    monkeypatch.setattr(threads, "LONGEST", 0.0)
    most = threads.THREADS + threads.HANGING
    for number in range(most):
        hanging(number, most), hit_when_due(hanging, number, most)
        await_hanging(number + 1)
    monkeypatch.undo()
    hanging.opened.set()
    settle()
    assert not background._threads
    hanging(most, most), hit_when_due(hanging, most, most)
    settle()
    assert refreshed(NAME)["stored"] == most + 1
