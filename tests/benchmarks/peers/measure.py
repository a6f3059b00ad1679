"""Hits and writes of this app and of its peers, by turns, on one server."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from importlib.util import find_spec
from multiprocessing import get_context
from typing import Any, Final, Self

from django.conf import settings
from django.db import connections

from tests.benchmarks.comparing import ratio
from tests.benchmarks.peers.worker import work
from tests.benchmarks.server import CacheServer
from tests.benchmarks.table import Row
from tests.benchmarks.timing import Scale, Times

BY_HAND: Final = "cache.get"
NO_CACHE: Final = "no cache"
OURS: Final = "this app"
NEAR: Final = "this app, near"
NEAREST: Final = "django-cacheops"
#: By name: the app that is installed for it.
APPS: Final[Mapping[str, str | None]] = {
    BY_HAND: None,
    NO_CACHE: None,
    OURS: "cache_invalidation",
    NEAR: "cache_invalidation",
    NEAREST: "cacheops",
    "django-cachalot": "cachalot",
}
ROWS: Final = "one row", "list of 20 rows"
START_TIMEOUT: Final = 300.0  # seconds; only what hangs takes as long
TURN_TIMEOUT: Final = 300.0

_spawn = get_context("spawn")


def measure(scale: Scale) -> Iterator[Row]:
    """Measure one row, a list, a page and a transaction of one save, of those that are here."""
    CacheServer().empty()
    here = {name: app for name, app in APPS.items() if app is None or find_spec(app)}
    with ExitStack() as stack:
        crew = {name: stack.enter_context(_Contender(name, app)) for name, app in here.items()}
        for task in crew[BY_HAND].tasks:
            able = {name: each for name, each in crew.items() if task in each.tasks}
            yield from _rows(task, _by_turns(able, task, scale), list(able))


def _by_turns(crew: Mapping[str, "_Contender"], task: str, scale: Scale) -> Times:
    """Have each of them do it once a round, as `by_turns` does in one process."""
    seconds: dict[str, list[float]] = {name: [] for name in crew}
    cpu: dict[str, list[float]] = {name: [] for name in crew}
    order = list(crew)
    for number in range(scale.rounds + 1):
        for name in order:
            took, worked = crew[name].do(task, scale.calls)
            if number:  # The first round warms everything up.
                seconds[name].append(took)
                cpu[name].append(worked)
        order.reverse()
    return Times(seconds, cpu, scale.calls)


def _rows(task: str, times: Times, names: list[str]) -> Iterator[Row]:
    verb = task if task == "save" else f"hit, {task}"
    pairs = [(name, BY_HAND) for name in names if name != BY_HAND]
    if NEAREST in names:
        pairs += [(name, NEAREST) for name in (OURS, NEAR) if name in names]
    for name, baseline in pairs:
        to = "by hand" if (task, baseline) in [("save", BY_HAND), ("page", BY_HAND)] else baseline
        title, budget = f"peers: {verb}, {name}, to {to}", _budget(name, baseline, task)
        yield ratio(title, times, name, baseline, budget=budget)


def _budget(name: str, baseline: str, task: str) -> float | None:
    if (name, baseline, task) == (NEAR, NEAREST, "a name"):
        return 1 / 30
    # A page and a write of this app do more than those of the other.
    return 1 if (name, baseline) == (OURS, NEAREST) and task in ROWS else None


class _Contender:
    """One of those that are measured, in its process, until the block ends."""

    tasks: list[str]

    def __init__(self, name: str, app: str | None) -> None:
        self._name = name
        self._pipe, other_end = _spawn.Pipe()
        self._process = _spawn.Process(
            target=work, args=(name, app, _settings(name), other_end), daemon=True
        )
        self._process.start()
        # With its last copy gone, a process that dies is noticed at once.
        other_end.close()

    def __enter__(self) -> Self:
        self.tasks = self._received(START_TIMEOUT)
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def do(self, task: str, calls: int) -> tuple[float, float]:
        """Return the seconds that so many calls took, and those for which it was computing."""
        self._pipe.send((task, calls))
        took, worked = self._received(TURN_TIMEOUT)
        return took, worked

    def _received(self, seconds: float) -> Any:
        if not self._pipe.poll(seconds):
            raise TimeoutError(f"{self._name} is late.")
        try:
            return self._pipe.recv()
        except EOFError:
            raise RuntimeError(f"The process of {self._name} has died.") from None


def _settings(name: str) -> dict[str, Any]:
    """Return the settings of one of them; the connections know which database is for this run."""
    there = settings.CACHES["default"]
    return {
        "DEBUG": False,
        "ALLOWED_HOSTS": ["*"],
        "DATABASES": {alias: connections[alias].settings_dict for alias in connections},
        "CACHES": {"default": {**there, "KEY_PREFIX": name}},
        "CACHEOPS_REDIS": os.environ["REDIS_URL"],
        # Nothing by itself, but what is asked to be.
        "CACHEOPS": {"peers.*": {"ops": (), "timeout": 300}},
    }
