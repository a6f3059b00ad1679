"""Runs a soak: a crew, a server, and troubles in rounds, after each of which everybody looks."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ctypes import c_double, c_int
from typing import Any, Final

from django.db import connection

from cache_invalidation.models import PendingInvalidation
from example_project.airports.models import Airport
from example_project.servers import ValkeyServer
from example_project.topologies import SentinelGroup
from tests.consistency.drills.processes import processes
from tests.consistency.drills.topologies import sentinel_cache
from tests.consistency.mixture import ROWS
from tests.near.soak.course import KEYS, Course, Pace, State, Tally
from tests.near.soak.crew import Crew, SoakError
from tests.near.soak.report import Report
from tests.near.soak.troubles import FAILOVER, Mayhem, Scene

ROUND: Final = 60.0  # seconds
LONGEST: Final = 1500.0  # seconds; only what hangs takes as long, however busy the machine is

#: Whether a soak may end in which so much was counted.
Enough = Callable[[Report], bool]


def _always(report: Report) -> bool:
    return True


# Short, for a project: outages are, and so is what a writer takes who is not stopped.
SETTINGS: Final = {"RETRY_INTERVAL": 0.3, "FENCE_TIMEOUT": 5.0}
TIME_OUTS: Final = {"SOCKET_TIMEOUT": 1.0, "SOCKET_CONNECT_TIMEOUT": 1.0}


def soak(
    names: Sequence[str],
    *,
    seconds: float,
    readers: int = 4,
    writers: int = 2,
    pace: Pace = Pace(),  # noqa: B008  # It is frozen.
    sabotage: str | None = None,
    is_enough: Enough = _always,
    longest: float = LONGEST,
    tell: Callable[[str], None] = lambda line: None,
) -> Report:
    """Race with the troubles that have these `names`, and return what came of it.

    It lasts `seconds`, or longer, until what was counted `is_enough`: a busy machine takes its
    time, up to `longest`. `sabotage` breaks the package on purpose, in a way of that module.
    Sums are told to `tell` at the end of each round.
    """
    PendingInvalidation.objects.all().delete()
    with _cache(needs_sentinel=FAILOVER in names) as (cache, where):
        roles = ["write"] * writers + ["read"] * readers + ["drain"]
        course = _course(cache, roles, pace, sabotage)
        with Crew(course, roles) as crew:
            mayhem = Mayhem(Scene(crew=crew, **where), names)
            began, is_over = time.monotonic(), False
            while not is_over:
                is_over = _round(crew, mayhem, began + seconds, is_enough)
                report = _report(course, mayhem, time.monotonic() - began)
                tell(report.line())
                if not is_over and report.seconds > seconds + longest:
                    raise SoakError("There is not enough to judge.")
            return report


def _course(cache: Any, roles: list[str], pace: Pace, sabotage: str | None) -> Course:
    rows = dict(Airport.objects.order_by("icao").values_list("icao", "elevation_ft")[:ROWS])
    if len(rows) < ROWS:
        raise SoakError(f"{ROWS} airports are needed, and there are {len(rows)}.")
    return Course(
        database=connection.settings_dict["NAME"],
        caches={"default": cache},
        cache_invalidation=SETTINGS,
        sabotage=sabotage,
        until=processes.RawValue(c_double, time.monotonic() + LONGEST),
        pace=pace,
        icaos=list(rows),
        returned=processes.RawArray("q", list(rows.values()) * roles.count("write")),
        tallies=processes.RawArray(Tally, len(roles)),
        state=processes.RawValue(c_int, State.RACE),
        rounds=processes.RawValue(c_int, 0),
    )


@contextmanager
def _cache(*, needs_sentinel: bool) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Hold a server, or several; yield Django's setting for it, and what it is to a scene."""
    with ExitStack() as stack:
        if needs_sentinel:
            group = stack.enter_context(SentinelGroup())
            group.have_failovers_follow_quickly()
            where: dict[str, Any] = {"group": group}
            cache = sentinel_cache(group)
        else:
            where = {"alone": stack.enter_context(ValkeyServer())}
            cache = {"LOCATION": where["alone"].url}
        options = {**TIME_OUTS, **cache.get("OPTIONS", {})}
        backend = "cache_invalidation.backends.RedisCache"
        tracked = [f"{KEYS}*"]
        options |= {"TRACK": tracked, "NEAR": tracked}
        yield {**cache, "BACKEND": backend, "KEY_PREFIX": "soak", "OPTIONS": options}, where


def _round(crew: Crew, mayhem: Mayhem, end: float, is_enough: Enough) -> bool:
    """Race for a round, or until `end` and it `is_enough`; then look at what is left.

    Tell if it is enough.
    """
    began, is_over = time.monotonic(), False
    crew.course.until.value = began + ROUND + LONGEST
    while not is_over and time.monotonic() < began + ROUND:
        mayhem.step()
        crew.check()
        time.sleep(0.01)
        is_over = time.monotonic() >= end and is_enough(_report(crew.course, mayhem))
    mayhem.end()
    crew.look_for_what_is_left(lambda: not PendingInvalidation.objects.exists())
    return is_over


def _report(course: Course, mayhem: Mayhem, seconds: float = 0.0) -> Report:
    report = Report(seconds=seconds, troubles=mayhem.counts.copy())
    for tally in course.tallies:
        report.add(tally)
        if tally.wrong_at:
            before = [
                f"{name} {tally.wrong_at - at:.2f} s before"
                for at, name in mayhem.log
                if 0 < tally.wrong_at - at < 5
            ]
            report.remarks.append(f"{tally.remark.decode(errors='replace')} ({', '.join(before)})")
    return report
