"""A known number of reads and invalidations: ``python -m tests.metrics.workload NAME [kill]``."""

import os
import signal
import sys

import django
from django.conf import settings


def begin() -> None:
    """Load Django; what is counted is flushed at the end, however long this takes."""
    django.setup()
    settings.CACHE_INVALIDATION = {"METRICS_FLUSH_INTERVAL": 3600}


def work(name: str) -> None:
    """10 misses, 30 hits; 4 invalidations of 2 tags, 3 keys and 1 pattern each."""
    from cache_invalidation import cached, invalidate

    @cached(tags=["workload"], name="workload.page")
    def page(name: str, number: int) -> int:
        return number

    for number in [*range(10)] * 4:
        page(name, number)
    for _ in range(4):
        invalidate(
            tags=[f"{name}:1", f"{name}:2"],
            keys=["a", "b", "c"],
            patterns=["none:*"],
            entity_type="workload",
        )


def work_alone(name: str) -> None:
    """Do so in a process that was just started."""
    begin()
    work(name)


if __name__ == "__main__":
    begin()
    work(sys.argv[1])
    if sys.argv[2:]:
        os.kill(os.getpid(), signal.SIGKILL)
