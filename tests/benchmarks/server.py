"""The cache server: round trips to it, its memory, and who has to wait for it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from time import perf_counter
from typing import Any

import redis
from django.test import override_settings

from cache_invalidation.conf import configured
from cache_invalidation.metrics.counters import counters
from cache_invalidation.stores import get_store
from tests.round_trips import round_trips

# A new interpreter, which no lock of this one can hold up.
_spawn = get_context("spawn")


@dataclass(slots=True)
class Cost:
    """What a block cost: this thread, and the server."""

    round_trips: int = 0
    busy: float = 0.0  # seconds for which the server did nothing else


class CacheServer:
    """The server that `REDIS_URL` names. Its database is emptied now and then."""

    def __init__(self) -> None:
        self.client: Any = redis.Redis.from_url(os.environ["REDIS_URL"])

    def empty(self) -> None:
        """Remove every key, and give the memory back before anything else happens."""
        self.client.execute_command("FLUSHDB", "SYNC")

    def keys(self) -> int:
        """Return how many keys there are."""
        return int(self.client.dbsize())

    def memory(self) -> int:
        """Return the bytes in use."""
        return int(self.client.info("memory")["used_memory"])

    @contextmanager
    def cost(self) -> Iterator[Cost]:
        """Count what a block costs; nobody else may use the server until it ends."""
        cost = Cost()
        with no_flush():
            get_store().versions(["connect before counting"])
            before = self._busy()
            with round_trips() as trips:
                yield cost
            cost.busy = self._busy() - before
        cost.round_trips = trips.number

    def _busy(self) -> float:
        info = self.client.info("commandstats")
        # What a script calls is counted as part of the script.
        used = (info.get(f"cmdstat_{name}", {}).get("usec", 0) for name in ("eval", "unlink"))
        return float(sum(used)) / 1e6


@contextmanager
def no_flush() -> Iterator[None]:
    """Let the counters of this process stay where they are until the block ends."""
    with override_settings(CACHE_INVALIDATION={**configured(), "METRICS_FLUSH_INTERVAL": 3600}):
        counters.flush()
        yield
    counters.flush()


class Bystander:
    """Another client, in a process of its own, that asks the server for next to nothing."""

    def __init__(self) -> None:
        self._stop = _spawn.Event()
        self._pipe, other_end = _spawn.Pipe(duplex=False)
        arguments = os.environ["REDIS_URL"], self._stop, other_end
        self._process = _spawn.Process(target=_ask_all_the_time, args=arguments, daemon=True)

    @contextmanager
    def asking(self) -> Iterator[list[tuple[float, float]]]:
        """Yield a list that holds, after the block, when each answer was asked for and came."""
        answers: list[tuple[float, float]] = []
        self._process.start()
        try:
            self._pipe.recv()
            yield answers
            self._stop.set()
            answers += self._pipe.recv()
        finally:
            self._process.kill()
            self._process.join()


def _ask_all_the_time(url: str, stop: Any, pipe: Any) -> None:
    answers = []
    with redis.Redis.from_url(url) as client:
        client.ping()
        pipe.send("ready")
        while not stop.is_set():
            asked = perf_counter()
            client.ping()
            answers.append((asked, perf_counter()))
    pipe.send(answers)


def longest_wait(answers: list[tuple[float, float]], begin: float, end: float) -> float:
    """Return the longest time that an answer took which was due between `begin` and `end`."""
    return max((came - asked for asked, came in answers if came > begin and asked < end), default=0)
