"""Random models, random writes and random cached reads: what is cached is what is in the database.

`FUZZ_EXAMPLES` is the number of programs that are run, on both databases together, and `FUZZ_SEED`
is what everything random is made from. It is the same each time unless another one is given, or
``random``: a run that fails says which seed it had.
"""

import os
import random
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import pytest
from django.core.cache import caches
from django.db import connections
from hypothesis import HealthCheck, Phase, given, note, seed
from hypothesis import settings as configured

from tests.fuzz.precision_sabotages import AIMS, PRECISE, QUICKLY_PRECISE
from tests.fuzz.programs import Aim, Program, aimed, programs
from tests.fuzz.runner import Runner, Stale, Statistics
from tests.fuzz.sabotages import QUICK, REFUSED, UNUSUAL, USUAL
from tests.fuzz.schemas import Grammar
from tests.fuzz.tables import created

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "300"))
_SEED = os.environ.get("FUZZ_SEED", "1")
SEED = random.randrange(2**32) if _SEED == "random" else int(_SEED)
# Of the reads that have to be hits, or nothing is tested. What fails half-way has everybody read
# around the cache for a while.
LEAST_SHARE = {"usual": 0.15, "unusual": 0.08, "related": 0.08}

# The databases and caches of the schemas. Redis is another process, and so is PostgreSQL: where
# others compete for the processors, they take most of the time.
Place = tuple[str, str, Grammar]
_PLACES: list[tuple[int, Place]] = [
    (3, ("sqlite", "locmem", "usual")),
    (1, ("default", "default", "usual")),
    (5, ("sqlite", "locmem", "unusual")),
    (1, ("sqlite", "default", "unusual")),
    (4, ("default", "default", "unusual")),
    (3, ("sqlite", "locmem", "related")),
    (2, ("default", "locmem", "related")),
    (1, ("default", "default", "related")),
]
PLACES = [place for number, place in _PLACES for _ in range(number)]

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "sqlite"]),
    pytest.mark.timeout(max(1800, EXAMPLES / 10)),
    # Some of the reads are reported, and not stored; what counts is that nothing is stale.
    pytest.mark.filterwarnings("ignore::cache_invalidation.CacheDependencyWarning"),
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


def explore(
    number: int,
    place: Place,
    examples: int,
    executor: Executor,
    phases: tuple[Phase, ...] = (Phase.generate, Phase.shrink),
    aim: Aim | None = None,
) -> Statistics:
    """Run `examples` programs on the models that `number` stands for."""
    alias, cache, grammar = place
    statistics = Statistics()
    with created(number, alias, grammar) as schema:
        strategy = programs(schema) if aim is None else aimed(schema, aim)
        if strategy.is_empty:
            return statistics

        @seed(number)
        @configured(
            max_examples=examples,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            phases=phases,
        )
        @given(strategy)
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
    if examples >= 50:
        assert statistics.share > LEAST_SHARE[PLACES[index][2]], statistics.report()


@pytest.mark.slow
@pytest.mark.parametrize("name", USUAL)
def test_a_core_that_misses_writes_is_found_out(
    name: str, elsewhere: Executor, settings: Any
) -> None:
    settings.CACHE_INVALIDATION = {"CACHE": "locmem"}
    with pytest.raises(Stale), USUAL[name]():
        explore(SEED, ("sqlite", "locmem", "usual"), 400, elsewhere, (Phase.generate,))


@pytest.mark.slow
@pytest.mark.parametrize("name", UNUSUAL if "EVERY_SABOTAGE" in os.environ else QUICK)
def test_a_core_that_knows_usual_models_only_is_found_out(
    name: str, elsewhere: Executor, settings: Any
) -> None:
    place: Place = ("sqlite", "locmem", "unusual")
    if "PostgreSQL" in name:
        place = ("default", "default", "unusual")
    settings.CACHE_INVALIDATION = {"CACHE": place[1]}
    # What takes over everything from what it wraps may be refused before it is stale.
    with pytest.raises((Stale, TypeError) if name in REFUSED else Stale), UNUSUAL[name]():
        for number in range(SEED, SEED + 80):
            explore(number, place, 30, elsewhere, (Phase.generate,))


@pytest.mark.slow
@pytest.mark.parametrize("name", PRECISE if "EVERY_SABOTAGE" in os.environ else QUICKLY_PRECISE)
def test_a_core_that_drops_too_little_is_found_out(
    name: str, elsewhere: Executor, settings: Any
) -> None:
    settings.CACHE_INVALIDATION = {"CACHE": "locmem"}
    alias = "default" if "PostgreSQL" in name else "sqlite"
    with pytest.raises(Stale), PRECISE[name]():
        for number in range(SEED, SEED + 40):
            place: Place = (alias, "locmem", "related")
            explore(number, place, 60, elsewhere, (Phase.generate,), AIMS.get(name))
