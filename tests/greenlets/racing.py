"""A race with others, in greenlets that all read near values of one process."""

import mmap
import os
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from ctypes import c_double, c_int, c_longlong, sizeof
from pathlib import Path
from typing import Any, Final

from tests.near.soak.course import Course, Pace, State, Tally

READERS: Final = 4
WRITERS: Final = 2  # of these, one in greenlets
READS: Final = 100  # between two kills

#: A request reads some times, and waits for something else then.
PACE: Final = Pace(reads=5, plain=0.9, pause=0.01)


def course_in(path: str | Path, icaos: Sequence[str]) -> Course:
    """Return the course whose numbers are in a file; those are all 0 in a new one."""
    kinds: list[tuple[str, Any]] = [
        ("returned", c_longlong * (WRITERS * len(icaos))),
        ("tallies", Tally * (WRITERS + READERS)),
        ("until", c_double),
        ("state", c_int),
        ("rounds", c_int),
    ]
    with Path(path).open("a+b") as file:
        file.truncate(sum(sizeof(kind) for _, kind in kinds))
        shared = mmap.mmap(file.fileno(), 0)
    numbers: dict[str, Any] = {}
    at = 0
    for name, kind in kinds:
        numbers[name] = kind.from_buffer(shared, at)
        at += sizeof(kind)
    return Course(
        database="",
        caches={},
        cache_invalidation={},
        sabotage=None,
        pace=PACE,
        icaos=icaos,
        **numbers,
    )


def race(path: str, *icaos: str) -> None:
    """Read and write in greenlets until it is over, and kill one of them now and then.

    One that is killed during COMMIT may be told so by an error: Django finds the connection in use.
    """
    # Not before the process is patched.
    import gevent
    from django.db import connections

    from tests.near.soak import roles
    from tests.near.soak.site import Site

    course = course_in(path, icaos)

    killed = set[Any]()

    def work(number: int) -> None:
        tally = course.tallies[number]
        site, failed = Site(icaos, tally), tally.failed
        try:
            while not course.is_over():
                (roles.write if number < WRITERS else roles.read)(course, site, number)
                if gevent.getcurrent() in killed:
                    break
                failed = tally.failed
                gevent.sleep(0)
        finally:
            if gevent.getcurrent() in killed:
                tally.failed = failed
            connections.close_all()

    numbers = [0, *range(WRITERS, WRITERS + READERS)]
    greenlets = {number: gevent.spawn(work, number) for number in numbers}
    read = 0
    while not course.is_over():
        gevent.sleep(random.uniform(0, 0.1))
        number = random.choice(numbers)
        # Not so often that they do nothing but begin, however busy the machine is.
        if course.state.value == State.RACE and _reads(course) > read + READS:
            read = _reads(course)
            killed.add(greenlets[number])
            greenlets[number].kill()
            greenlets[number] = gevent.spawn(work, number)
    gevent.joinall(list(greenlets.values()), raise_error=True)


def _reads(course: Course) -> int:
    return sum(tally.reads for tally in course.tallies)


def fork(path: str, *icaos: str) -> None:
    """Read until it is over, and begin children meanwhile that do nothing."""
    from tests.near.soak import roles
    from tests.near.soak.site import Site

    course = course_in(path, icaos)
    number = WRITERS
    site = Site(icaos, course.tallies[number])
    begun, children = 0.0, set[int]()
    while not course.is_over():
        roles.read(course, site, number)
        time.sleep(0)
        if time.monotonic() > begun and len(children) < 3:
            begun = time.monotonic() + random.uniform(0, 0.5)
            if not (pid := os.fork()):
                time.sleep(1)  # Whatever greenlets there are have the time to go on.
                os._exit(0)
            children.add(pid)
        children -= set(map(_ended, children))
    for pid in children:
        os.waitpid(pid, 0)


def _ended(pid: int) -> int:
    with suppress(ChildProcessError):
        return os.waitpid(pid, os.WNOHANG)[0]
    return pid
