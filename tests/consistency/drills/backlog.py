"""An outbox with many rows in it."""

import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Final

from django.db import connection

from example_project.servers import ValkeyServer
from tests.consistency.drills.outages import unreachable
from tests.consistency.drills.stage import Stage, result_of

DRAINERS: Final = "tests.consistency.drills.drainers"

# What reading and writing rows takes, as do autovacuum and foreign keys. All others stop somebody.
HARMLESS: Final = {
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
}

# Megabytes by which the memory of a drainer may differ, whatever it has drained.
MEMORY: Final = 8


def drained(stage: Stage, server: ValkeyServer) -> None:
    """Full, and drained by two processes at once while others write into it."""
    few, many = max(100, stage.pace.backlog // 100), stage.pace.backlog
    fill(stage, few)
    alone = stage.call(f"{DRAINERS}.drain", Path(os.devnull))
    fill(stage, many)
    began = time.monotonic()
    logs = [server.directory / f"drainer-{number}.log" for number in range(2)]
    together = stage.barrier(len(logs))
    both = [stage.start(f"{DRAINERS}.drain", log, together) for log in logs]
    modes, inserted, slowest = set(), 0, 0.0
    while any(process.is_alive() for process, _ in both) and not all(
        pipe.poll() for _, pipe in both
    ):
        modes |= _locks()
        begun = time.monotonic()
        _insert(1, "late")
        inserted, slowest = inserted + 1, max(slowest, time.monotonic() - begun)
        time.sleep(0.05)
    found = [result_of(*each) for each in both]
    took = time.monotonic() - began
    stage.call(f"{DRAINERS}.drain", Path(os.devnull))  # What was inserted last.
    rows = sum(each.rows for each in found)
    peak = max(each.peak for each in found)
    stage.notes += [
        f"{rows:,} rows by two processes in {took:.1f} s, {rows / took:,.0f} a second; "
        f"{' and '.join(f'{each.rows:,}' for each in found)}.",
        f"Memory at its peak: {alone.peak:.1f} MB above the beginning with {few:,} rows, "
        f"{peak:.1f} MB with {many:,}.",
        f"Meanwhile {inserted} rows were inserted, in {slowest * 1000:.0f} ms at most. "
        f"Locks: {', '.join(sorted(modes))}.",
    ]
    _judge(stage, logs, modes, peak - alone.peak)
    if min(each.rows for each in found) < many / 10:
        stage.broken.append("One drainer has left nearly everything to the other.")
    keys = stage.call(f"{DRAINERS}.keys_left", many)
    if keys:
        stage.broken.append(f"{keys} plain keys were not deleted.")


def _judge(stage: Stage, logs: list[Path], modes: set[str], more_memory: float) -> None:
    twice, at_once = _delivered_twice(logs)
    stage.notes.append(f"Rows delivered twice: {twice}, at the same time: {at_once}.")
    if twice:
        stage.broken.append(f"{twice} rows were delivered twice, {at_once} at the same time.")
    if modes - HARMLESS:
        stage.broken.append(f"The table was locked: {', '.join(modes - HARMLESS)}.")
    if more_memory > MEMORY:
        stage.broken.append(f"More rows took {more_memory:.1f} MB more memory.")


def _delivered_twice(logs: list[Path]) -> tuple[int, int]:
    """Return how many rows were delivered twice, and how many of them at the same time."""
    times: dict[str, list[tuple[float, float]]] = {}
    for log in logs:
        with log.open() as lines:
            for line in lines:
                begun, ended, *rows = line.split()
                for row in rows:
                    times.setdefault(row, []).append((float(begun), float(ended)))
    twice = [sorted(each) for each in times.values() if len(each) > 1]
    at_once = [each for each in twice if any(a[1] > b[0] for a, b in pairwise(each))]
    return len(twice), len(at_once)


def flooded(stage: Stage, server: ValkeyServer) -> None:
    """Connections refused, and before all else in the outbox more than can be delivered at once."""
    with unreachable(server):
        _insert(stage.pace.backlog)
        stage.go_on(stage.pace.fault)


def fill(stage: Stage, number: int) -> None:
    """Put rows into the outbox, and the plain keys into the cache that they are to delete."""
    stage.call(f"{DRAINERS}.plant", number)
    _insert(number)


def _insert(number: int, name: str = "backlog") -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO cache_invalidation_pendinginvalidation (targets, entities, entity_type,"
            " cause, created, attempts, last_error, next_attempt)"
            " SELECT jsonb_build_object('tags', jsonb_build_array(%s || ':' || n %% 1000),"
            " 'entries', '[]'::jsonb, 'keys', jsonb_build_array(%s || ':' || n),"
            " 'patterns', '[]'::jsonb), '{}', '', 'drill', now(), 0, '', now()"
            " FROM generate_series(1, %s) AS n",
            [name, name, number],
        )


def _locks() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT mode FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE locktype = 'relation'"  # Rows are locked, too, under the name of their table.
            " AND relation = 'cache_invalidation_pendinginvalidation'::regclass"
            " AND application_name = 'drainer'"
        )
        return {mode for (mode,) in cursor.fetchall()}
