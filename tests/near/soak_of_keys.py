"""What `python -m tests.near --overwritten` does, with Django ready."""

import os
import random
import signal
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import active_children
from threading import Event, Thread
from time import monotonic
from typing import Any

import redis
from django.test import override_settings

from cache_invalidation.stores import get_store
from example_project.airports.loading import load, read_airports
from example_project.race.harness import Result, run
from example_project.race.strategies import Strategy
from tests.consistency.racing import path_of
from tests.near import racing_keys
from tests.near.keys import OPTIONS, caches_with

ROUND = 60.0  # seconds


def soak(options: Namespace) -> bool:
    """Race for so many seconds; tell whether all that was read and is left is right."""
    load(read_airports(["IE"]))
    with _raced(options) as strategy:
        results = _races(strategy, options)
    get_store().close()  # Before the server stops, that is, to which it renews its lease.
    return all(result.is_consistent for result in results)


@contextmanager
def _raced(options: Namespace) -> Iterator[type[Strategy]]:
    """Have the settings of what is to be raced; return that."""
    caches = caches_with(**{**OPTIONS, "BLIND": ["race:*"]})
    with override_settings(CACHES=caches, CACHE_INVALIDATION={}):
        get_store().ping()
        control = racing_keys.OverwrittenByWhoDoesNotWait
        yield control if options.control else racing_keys.Overwritten


def _races(strategy: type[Strategy], options: Namespace) -> list[Result]:
    end, results = monotonic() + options.seconds, []
    while (left := end - monotonic()) > 0:
        with _nothing() if options.calm else trouble() as done:
            results.append(_race(strategy, min(ROUND, left), options))
        print(f"{_told(results)}; broken so far: {len(done)}", flush=True)
    return results


def _race(strategy: type[Strategy], seconds: float, options: Namespace) -> Result:
    return run(
        path_of(strategy),
        seconds=seconds,
        readers=options.readers,
        writers=options.writers,
        rows=16,
        pause_ms=1,
        write_interval_ms=8,
    )


def _told(results: list[Result]) -> str:
    def total(name: str) -> int:
        return sum(getattr(result, name) for result in results)

    stale, left = total("stale"), total("left_stale")
    seconds = sum(result.seconds for result in results)
    return (
        f"{seconds:,.0f} s, {total('reads'):,} reads, {total('writes'):,} writes, "
        f"{total('misses'):,} misses: {stale:,} stale, {left} rows left stale"
    )


@contextmanager
def _nothing() -> Iterator[list[str]]:
    yield []


@contextmanager
def trouble() -> Iterator[list[str]]:
    """Break something every now and then; what was is in the list."""
    stop, done = Event(), list[str]()
    client: Any = redis.Redis.from_url(os.environ["REDIS_URL"])

    def go_on() -> None:
        while not stop.wait(random.uniform(0.2, 1.0)):
            trouble = random.choice(TROUBLES)
            trouble(client, stop)
            done.append(trouble.__name__)

    thread = Thread(target=go_on)
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join()
        client.close()


def cut_rings(client: Any, stop: Event) -> None:
    client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")


def cut_connections(client: Any, stop: Event) -> None:
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def stop_a_process(client: Any, stop: Event) -> None:
    """Stop one for longer than a lease, wherever it is."""
    children = active_children()
    if children:
        pid = random.choice(children).pid or 0
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            try:
                stop.wait(random.uniform(0.1, 0.8))
            finally:
                os.kill(pid, signal.SIGCONT)


def lose_everything(client: Any, stop: Event) -> None:
    client.flushall()


def evict_versions_and_fences(client: Any, stop: Event) -> None:
    for name in client.scan_iter("*ci:t:*"):
        client.delete(name)


def run_out_of_memory(client: Any, stop: Event) -> None:
    """Have the server refuse whatever takes memory, for a while."""
    client.config_set("maxmemory", 1)
    try:
        stop.wait(random.uniform(0.1, 0.5))
    finally:
        client.config_set("maxmemory", 0)


TROUBLES: list[Callable[[Any, Event], None]] = [
    *[cut_rings] * 3,
    *[cut_connections] * 2,
    *[stop_a_process] * 3,
    lose_everything,
    evict_versions_and_fences,
    run_out_of_memory,
]
