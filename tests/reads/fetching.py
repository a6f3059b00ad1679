"""Blocks of `cached_together`, and what they cost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import redis

from cache_invalidation import cached_together
from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.reads import cached_functions
from tests.delivered import commands

RUNS = 2  # of a block until it knows what it asks for


@contextmanager
def lookups(client: redis.Redis) -> Iterator[list[int]]:
    """Count the lookups that reach the server until the block ends; there is one number then."""
    number: list[int] = []
    # One hit of some is noted for warming, and sent at once by a process that has just begun.
    unnoted = mock.patch.object(cached_functions, "is_chosen_for_warming", return_value=False)
    with unnoted, commands(client) as counts:
        yield number
    scripts = counts.get("eval", 0) + counts.get("evalsha", 0)
    number.append(counts.get("mget", 0) + scripts)


def learn(name: str, ask: Callable[[], Any], **arguments: Any) -> None:
    """Have a block learn what `ask` asks for."""
    ask()  # What is not cached is not worth fetching.
    for _ in range(RUNS):
        with cached_together(name, **arguments):
            ask()


def fetched() -> tuple[int, int]:
    """Return how many values were fetched in all blocks, and how many of them in vain."""
    metrics = read_metrics()
    return metrics["fetched_together"], metrics["fetched_in_vain"]


def hits(name: str) -> tuple[int, int]:
    """Return the hits and the misses of a function."""
    counters.flush()
    rates = read_metrics()["functions"].get(name)
    return (rates["hits"], rates["misses"]) if rates else (0, 0)
