"""What the processes of a drill do: loops under load, and tasks that end by themselves."""

import logging
import random
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import StringIO
from multiprocessing.connection import Connection
from typing import Any, Final

from django.core.management import CommandError, call_command
from django.db import Error, connection
from django.test import override_settings
from django.utils.module_loading import import_string

from cache_invalidation.stores import get_store
from tests.consistency.drills.course import Counts, Course, Phase, World
from tests.consistency.drills.site import Site

Role = Callable[[Course, Counts], None]

READ_INTERVAL: Final = 0.001  # seconds between two reads of a process; others want to run as well
WRITE_INTERVAL: Final = 0.02  # seconds between two writes of a process, on average


def begin(world: World) -> None:
    """Make this process one of those under load."""
    # Ctrl-C in a terminal reaches every process; the parent ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)  # An outage is what a drill is about.
    connection.settings_dict["NAME"] = world.database
    changed: Mapping[str, Any] = {
        "CACHES": world.caches,
        "CACHE_INVALIDATION": world.cache_invalidation,
    }
    override_settings(**changed).enable()
    if world.sabotage:
        import_string(f"tests.consistency.drills.sabotage.{world.sabotage}")(world)


def loop(role: str, course: Course, index: int) -> None:
    """Do what `role` names over and over again, until the drill is over."""
    begin(course)
    work: Callable[[Site, Counts], None] = globals()[role]
    counts, site, started = course.counts[index], Site(course), time.monotonic()
    while not course.is_over(started):
        work(site, counts)


def task(path: str, course: Course, pipe: Connection, arguments: tuple[Any, ...]) -> None:
    """Call the function with the dotted path `path`, once, and send what it returns."""
    begin(course)
    with pipe:
        pipe.send(import_string(path)(Site(course), *arguments))


def read(site: Site, counts: Counts) -> None:
    """Read a random row through the cache, compare with what was committed before, and pause."""
    course, misses = site.course, site.misses
    row = random.randrange(len(course.icaos))
    phase = course.phase.value
    # Noted before the read begins: what is committed in the meantime may be seen or not.
    newest, begun = course.committed[row], time.monotonic()
    try:
        counts.stale[phase] += site.read(course.icaos[row]) < newest
    except Exception as error:
        _failed(counts, error)
    _took(course, counts, begun)
    counts.misses += site.misses > misses
    if not get_store().breaker.is_working:
        counts.normal_since = 0.0
    elif not counts.normal_since and site.misses == misses:
        counts.normal_since = time.monotonic()
    time.sleep(READ_INTERVAL)


def write(site: Site, counts: Counts) -> None:
    """Write a random row, and pause."""
    course, row = site.course, random.randrange(len(site.course.icaos))
    with course.locks[row]:
        # Whoever asks for quiet waits for these locks, so it is looked at while one is held.
        if not course.quiet.is_set():
            _write_row(site, counts, row)
    time.sleep(random.uniform(0, 2 * WRITE_INTERVAL))


def _write_row(site: Site, counts: Counts, row: int) -> None:
    rule, begun = site.plant(row), time.monotonic()
    try:
        site.write(row, rule)
        counts.writes += 1
    except Error as error:
        counts.refused += 1
        counts.error = repr(error).encode()[:499]
    except Exception as error:
        _failed(counts, error)
    _took(site.course, counts, begun)


def drain(site: Site, counts: Counts) -> None:
    """Drain the outbox, as a job does that is scheduled now and then."""
    with suppress(CommandError):  # The cache is not there, and it is tried again.
        call_command("drain_invalidations", stdout=StringIO())
    time.sleep(0.2)


def _failed(counts: Counts, error: Exception) -> None:
    counts.failed += 1
    counts.error = repr(error).encode()[:499]


def _took(course: Course, counts: Counts, begun: float) -> None:
    took = time.monotonic() - begun
    counts.requests += 1
    if course.phase.value != Phase.BEFORE:  # The first requests of a process load what they need.
        counts.slowest = max(counts.slowest, took)
        counts.slow += took >= course.time_out
    counts.outages = get_store().breaker.outages


# Tasks


def left_behind(site: Site) -> tuple[list[tuple[str, str]], list[str]]:
    """Return what is cached and is not what the database has, and plain keys that are left."""
    return site.left_stale(), site.plain_keys_left()
