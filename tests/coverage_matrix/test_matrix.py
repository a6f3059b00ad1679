"""The coverage matrix: however something is written, no shape of cached read is stale afterwards.

Each test is one way of writing, in one database, in a transaction or in autocommit, to a model
without a rule or to one whose rule looks at values. It goes through all shapes; each shape is a
cell. What has to stay cached is as much part of it as what has to go. `shapes` has the reads,
`ways` says what is declared of a way of writing, `matrix` where they are.

With ``CELLS=all`` in the environment there is no combination that is left out; with ``CELLS=half``
it is either with a rule or without one.

The page ``docs/reference/coverage.md`` is made of the same declarations; see `test_page`.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import product
from typing import Any

import django
import pytest
from django.db import transaction

from cache_invalidation import Change, ModelInvalidation, registry
from cache_invalidation.observing import watcher
from tests.coverage_matrix import by_hand, surfaces
from tests.coverage_matrix.matrix import WAYS
from tests.coverage_matrix.shapes import Read
from tests.coverage_matrix.ways import VALUES, Database, Way
from tests.coverage_matrix.world import World, clear
from tests.surfaces.by_hand import DJANGOS_PAGE, tracking
from tests.testapp.matrix import Item

__all__ = ["tracking"]

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])


@dataclass(frozen=True)
class Cell:
    way: Way
    database: Database
    atomic: bool
    rule: bool

    @property
    def is_simple(self) -> bool:
        return self.database == "PostgreSQL" and not self.atomic

    @property
    def is_usual(self) -> bool:
        if len(self.way.modes) == 1 or not (self.rule or self.way.few):
            return True
        return self.atomic is (self.database == "SQLite")

    @property
    def is_of_half(self) -> bool:
        return self.rule is (self.database == "PostgreSQL") or len(self.way.databases) == 1

    def __str__(self) -> str:
        mode = "transaction" if self.atomic else "autocommit"
        rule = "rule" if self.rule else "no rule"
        return ", ".join((self.way.name, self.database, mode, rule))


WANTED = os.environ.get("CELLS", "usual")

CELLS = [
    cell
    for way in WAYS
    for database, atomic, rule in product(way.databases, way.modes, (False, True))
    # Where a rule looks at values, a write in autocommit gets a transaction of its own, so one mode
    # for each database goes the same ways as both.
    if (cell := Cell(way, database, atomic, rule)).is_usual or WANTED == "all"
    if cell.is_of_half or WANTED != "half"
]


def _with_surfaces() -> dict[Cell, int]:
    """Return in which cells there is more than functions: one of each way.

    Pages, blocks, responses and what is cached by hand find out what they read as functions do, so
    what differs between the cells of a way is the same for them. The cells are taken in turn, and
    so are the shapes and what they are shown on.
    """
    chosen = {}
    for turn, way in enumerate(WAYS):
        cells = [cell for cell in CELLS if cell.way is way]
        chosen[cells[turn // 9 % len(cells)]] = turn
    return chosen


WITH_SURFACES = _with_surfaces()


class LooksAtValues(ModelInvalidation):
    tags = ["topic:{topic_id}"]
    track = ["topic"]


@pytest.fixture
def world(cell: Cell, request: pytest.FixtureRequest) -> Iterator[World]:
    if cell.way.since and cell.way.since > django.VERSION[:2]:
        pytest.skip(f"Django {cell.way.since} has it")
    if cell in WITH_SURFACES:
        request.getfixturevalue("tracking")
    alias = cell.way.alias(cell.database)
    clear(alias)
    with registry.override(Item, LooksAtValues) if cell.rule else nullcontext():
        yield World(alias, rule=cell.rule)


def fill(reads: list[Read], problems: list[str]) -> dict[Read, Any]:
    """Have all of them cached, and return their values."""
    values = {}
    for read in reads:
        for _ in range(read.asks):
            read.cached()
        values[read], is_hit = read.cached()
        if not is_hit:
            problems.append(f"{read}: it is not cached to begin with")
    return values


def compare(reads: list[Read], problems: list[str], when: str) -> dict[Read, Any]:
    """Compare with what is in the database; return that."""
    values = {}
    for read in reads:
        values[read] = read.uncached()
        for _ in range(read.asks):
            found, _ = read.cached()
            if found != values[read]:
                problems.append(f"{read}: stale {when}: {found!r}, not {values[read]!r}")
    return values


def check(reads: Mapping[Read, Any], problems: list[str], when: str) -> None:
    """Check that they are hits, with these values."""
    for read, value in reads.items():
        found, is_hit = read.cached()
        if not is_hit:
            problems.append(f"{read}: gone {when}")
        if found != value:
            problems.append(f"{read}: another value {when}: {found!r}")


def check_gone(reads: Collection[Read], problems: list[str]) -> None:
    for read in reads:
        found, is_hit = read.cached()
        if is_hit:
            problems.append(f"{read}: kept")
        if found != read.uncached():
            problems.append(f"{read}: stale: {found!r}")


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_nothing_is_stale_and_nothing_goes_that_need_not(world: World, cell: Cell) -> None:
    problems: list[str] = []
    way, atomic, rule = cell.way, cell.atomic, cell.rule
    goes = way.drops(cell.database, atomic=atomic, rule=rule)
    reads = world.reads(way.target, way.changes)
    rows_read, values_read = world.others(way.target)
    if (turn := WITH_SURFACES.get(cell)) is not None:
        further_rows, further_values = surfaces.others(world, way.target, turn)
        reads += surfaces.reads(world, way.target, turn) + by_hand.some(reads, turn)
        rows_read = rows_read + further_rows + by_hand.some(rows_read, turn)
        values_read = values_read + further_values + by_hand.some(values_read, turn)
    before = fill(reads, problems)
    rows, values = fill(rows_read, problems), fill(values_read, problems)
    kept, other_end = (fill(found, problems) for found in (world.untouched(), world.other_end()))
    kept |= other_end
    kept |= values if goes in ("relation", "row", "rows", "nothing") else {}
    kept |= rows if goes in ("relation", "relations", "row", "nothing") else {}
    if goes == "relations":
        kept |= {read: value for read, value in values.items() if read.shape != "tagged"}
    if goes in ("relation", "relations"):
        # What asks in the middle of the write may have Django's page go.
        shown = {*way.changes, "tagged"}
        own = [read for read in before if read.shape not in shown and read.kind != DJANGOS_PAGE]
        kept |= {read: before[read] for read in own}
    kept |= before if goes == "nothing" else {}
    kept = {} if goes == "everything" else kept
    world.ask = lambda: compare(reads, problems, "in the middle")

    with transaction.atomic(using=world.alias) if atomic else nullcontext():
        way.write(world)
        if atomic:
            in_snapshot = cell.database == "SQLite"
            asked = {r: v for r, v in kept.items() if r.may_hit(in_snapshot=in_snapshot)}
            check({} if way.blind else asked, problems, "in the transaction")
            compare(reads, problems, "in the transaction")

    check(kept, problems, "afterwards")
    check_gone([read for read in {**rows, **values, **other_end} if read not in kept], problems)
    after = compare(reads, problems, "afterwards")
    if atomic or cell.database != way.lingers:
        check(after, problems, "when it was cached again")
    changed = {read.shape for read in reads if after[read] != before[read]}
    expected = way.changes - (set() if rule else {"tagged"})
    if changed != expected:
        problems.append(f"changed: {sorted(changed)}, and not {sorted(expected)}")
    assert not problems, "\n".join(["", *problems])


class SaidByCode(ModelInvalidation):
    """Names nothing where the rows are not known."""

    def get_tags(self, change: Change) -> list[str]:
        return [f"topic:{row.topic_id}" for row in change.instances]  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore::cache_invalidation.CacheDependencyWarning")
@pytest.mark.parametrize("way", [way for way in WAYS if way.changes >= VALUES], ids=str)
def test_what_a_rule_says_by_code_goes_also_where_the_rows_are_not_known(way: Way) -> None:
    if way.since and way.since > django.VERSION[:2]:
        pytest.skip(f"Django {way.since} has it")
    alias = way.alias("SQLite" if "SQLite" in way.databases else "PostgreSQL")
    clear(alias)
    with registry.override(Item, SaidByCode):
        world, problems = World(alias, rule=True), list[str]()
        reads = [read for read in world.reads(way.target, way.changes) if read.shape == "tagged"]
        fill(reads, problems)
        way.write(world)
        compare(reads, problems, "afterwards")
    assert not problems


@pytest.mark.parametrize("cell", [each for each in CELLS if each.is_simple], ids=str)
def test_just_what_is_said_to_be_seen_as_a_statement_is_missed_without_the_watcher(
    world: World, cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = cell.way
    # What hangs on an item has no rule, and is always seen as a statement.
    shown = way.changes & VALUES or way.changes
    reads = [read for read in world.reads(way.target, shown) if read.shape in shown]
    fill(reads, [])
    (watching,) = watcher._installed
    monkeypatch.setattr(watching, "write", lambda execute, *about: execute())
    way.write(world)
    stale = [read.shape for read in reads if read.cached()[0] != read.uncached()]
    seen = way.seen_by_rule if cell.rule else way.seen
    assert bool(stale) is (seen == "statement" and bool(shown)), stale
