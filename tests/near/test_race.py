"""Near values in several processes, on the same few rows, for real and for a while."""

import os
import random
import signal
from collections.abc import Callable
from multiprocessing import active_children
from threading import Event, Thread
from typing import Any

import pytest
import redis

from cache_invalidation.stores.redis.near import RedisNear
from example_project.airports.loading import load, read_airports
from example_project.race.harness import Enough, Result, run
from example_project.race.strategies import Near

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

Race = Callable[[type[Near], Enough], Result]


class NobodyWaits(Near):
    """The control: writers go on at once."""

    def __init__(self, pause: float) -> None:
        super().__init__(pause)
        spoiled: Any = RedisNear
        spoiled._wait = lambda *args: None


@pytest.fixture(autouse=True)
def long_leases() -> None:
    """Leave leases as short as they are."""


@pytest.fixture
def race() -> Race:
    load(read_airports(["IE"]))

    def start(strategy: type[Near], is_enough: Enough) -> Result:
        return run(
            f"{strategy.__module__}.{strategy.__qualname__}",
            seconds=0,
            is_enough=is_enough,
            writers=2,
            readers=4,
            rows=16,
            pause_ms=3,
            write_interval_ms=8,
        )

    return start


def test_nothing_stale_is_read_and_nothing_stale_is_left(race):
    result = race(Near, lambda total: total.reads >= 500_000 and total.writes > 500)
    assert (result.stale, result.left_stale) == (0, 0)


def rings_are_cut(client: redis.Redis) -> None:
    client.client_kill_filter(_type="pubsub")


def everything_is_lost(client: redis.Redis) -> None:
    client.flushall()


def versions_and_fences_are_evicted(client: redis.Redis) -> None:
    for name in client.scan_iter("*ci:t:*"):
        client.delete(name)


def processes_are_stopped(client: redis.Redis) -> None:
    """Stop one of them for longer than a lease."""
    pids = [child.pid for child in active_children() if child.pid]
    if pids:
        pid = random.choice(pids)
        os.kill(pid, signal.SIGSTOP)
        Event().wait(random.uniform(0.05, 0.6))
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(
    "trouble",
    [
        rings_are_cut,
        everything_is_lost,
        versions_and_fences_are_evicted,
        processes_are_stopped,
    ],
)
def test_nor_in_the_middle_of_trouble(race, trouble, redis_client):
    is_over, rounds = Event(), []

    def make() -> None:
        while not is_over.wait(random.uniform(0, 0.5)):
            trouble(redis_client)
            rounds.append(True)

    thread = Thread(target=make)
    thread.start()
    try:
        result = race(Near, lambda total: total.reads >= 20_000 and total.writes > 50)
    finally:
        is_over.set()
        thread.join()
    assert rounds
    assert (result.stale, result.left_stale) == (0, 0)


def test_if_no_writer_waits_stale_values_are_read(race, monkeypatch):
    # It is prepared in this process, which has to be as before when it is over.
    monkeypatch.setattr(RedisNear, "_wait", RedisNear._wait)
    assert race(NobodyWaits, lambda total: total.stale > 0).stale > 0
