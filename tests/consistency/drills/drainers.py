"""Processes that drain the outbox, and watch themselves doing so."""

import time
from dataclasses import dataclass
from itertools import count, islice
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, Final

from django.core.cache import cache
from django.db import connection

from cache_invalidation.delivery.outbox import draining
from tests.consistency.drills.site import LIFETIME, Site
from tests.stores.steps import PATIENCE

CHUNK: Final = 1000  # keys in one round trip
TOGETHER: Final = 4  # batches


@dataclass(frozen=True, slots=True)
class Drained:
    """How many rows, and how much more memory than at the beginning it took at most, in MB."""

    rows: int
    peak: float


def drain(site: Site, log: Path, together: Barrier | None = None) -> Drained:
    """Drain the outbox once; write into the file `log` which rows and when.

    At first each batch is held until all who come `together` hold one.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET application_name = 'drainer'")
    deliver: Any = draining._deliver
    numbers = count()
    with log.open("w") as file:

        def logged(rows: Any, batch: Any) -> Any:
            if together and rows and next(numbers) < TOGETHER:
                together.wait(PATIENCE)
            begun = time.monotonic()
            result = deliver(rows, batch)
            print(begun, time.monotonic(), *(row.pk for row in rows), file=file)
            return result

        setattr(draining, "_deliver", logged)  # noqa: B010 - not the module's own business
        # Once for what is loaded and kept, whatever the number of rows.
        drainer = draining.drain("default")
        rows = next(drainer)
        Path("/proc/self/clear_refs").write_text("5")
        before = _memory("VmRSS")
        rows += sum(drainer)
    return Drained(rows, _memory("VmHWM") - before)


def _memory(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def plant(site: Site, number: int) -> None:
    """Store the plain keys that so many rows are to delete."""
    for begin in range(1, number + 1, CHUNK):
        numbers = range(begin, min(begin + CHUNK, number + 1))
        cache.set_many({f"backlog:{n}": n for n in numbers}, LIFETIME)


def keys_left(site: Site, number: int) -> int:
    """Return how many of the plain keys are still there."""
    keys = (f"backlog:{n}" for n in range(1, number + 1))
    found = 0
    while chunk := list(islice(keys, CHUNK)):
        found += len(cache.get_many(chunk))
    return found
