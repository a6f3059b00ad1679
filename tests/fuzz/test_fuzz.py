"""Random models, random writes and random cached reads: what is cached is what is in the database.

`FUZZ_EXAMPLES` is the number of programs that are run, on both databases together, and `FUZZ_SEED`
is what everything random is made from. It is the same each time unless another one is given, or
``random``: a run that fails says which seed it had.
"""

import os
import random
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

import pytest
from django.core.cache import caches
from django.db import connections
from hypothesis import HealthCheck, Phase, given, note, seed
from hypothesis import settings as configured

from cache_invalidation import watcher
from cache_invalidation.writes import saves, statements
from tests.fuzz.programs import Program, programs
from tests.fuzz.runner import Runner, Stale, Statistics
from tests.fuzz.tables import created

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2000"))
_SEED = os.environ.get("FUZZ_SEED", "1")
SEED = random.randrange(2**32) if _SEED == "random" else int(_SEED)
LEAST_SHARE = 0.15  # of the reads that have to be hits, or nothing is tested

# The databases and caches of the schemas. Redis is another process, and so is PostgreSQL: where
# others compete for the processors, they take most of the time.
PLACES = [*[("sqlite", "locmem")] * 7, ("sqlite", "default"), *[("default", "default")] * 4]

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "sqlite"]),
    pytest.mark.slow,
    pytest.mark.timeout(max(1800, EXAMPLES / 10)),
]


@pytest.fixture
def elsewhere() -> Iterator[Executor]:
    """Another thread, which has connections of its own."""
    with ThreadPoolExecutor(1) as executor:
        executor.submit(_be_impatient).result()
        yield executor
        executor.submit(connections.close_all).result()


def _be_impatient() -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute("SET lock_timeout = '2s'")  # Or two threads could wait for each other.


@pytest.fixture(autouse=True)
def _in_a_hurry() -> Iterator[None]:
    """Have SQLite not wait for the disk: nobody is going to pull the plug."""
    connection = connections["sqlite"]
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous=OFF")
    yield
    connection.close()


def explore(
    number: int,
    place: tuple[str, str],
    examples: int,
    executor: Executor,
    phases: tuple[Phase, ...] = (Phase.generate, Phase.shrink),
) -> Statistics:
    """Run `examples` programs on the models that `number` stands for."""
    alias, cache = place
    statistics = Statistics()
    with created(number, alias) as schema:

        @seed(number)
        @configured(
            max_examples=examples,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=phases,
        )
        @given(programs(schema))
        def run(program: Program) -> None:
            caches[cache].clear()
            note(f"FUZZ_SEED={SEED} FUZZ_EXAMPLES={EXAMPLES}")
            Runner(schema, statistics, executor).run(program)

        run()
    return statistics


@pytest.mark.parametrize("index", range(len(PLACES)))
def test_what_is_cached_is_what_is_in_the_database(
    index: int, elsewhere: Executor, settings: Any
) -> None:
    settings.CACHE_INVALIDATION = {"CACHE": PLACES[index][1]}
    examples = -(-EXAMPLES // len(PLACES))
    statistics = explore(SEED + index, PLACES[index], examples, elsewhere)
    print(statistics.report())
    if examples > 50:
        assert statistics.share > LEAST_SHARE, statistics.report()


@contextmanager
def _unwatched() -> Iterator[None]:
    watcher.uninstall()
    try:
        yield
    finally:
        watcher.install(statements.write)


_BROKEN = {
    "no watcher": _unwatched,
    "saves that tell nothing": lambda: mock.patch.object(saves, "collect"),
    "writes that find no row": lambda: mock.patch.object(
        statements, "_found_no_row", return_value=True
    ),
}


@pytest.mark.parametrize("name", _BROKEN)
def test_a_core_that_misses_writes_is_found_out(
    name: str, elsewhere: Executor, settings: Any
) -> None:
    settings.CACHE_INVALIDATION = {"CACHE": "locmem"}
    broken: AbstractContextManager[Any] = _BROKEN[name]()
    with pytest.raises(Stale), broken:
        explore(1, ("sqlite", "locmem"), 400, elsewhere, (Phase.generate,))
