"""The precision matrix: no kind of write drops what it does not concern, but for what is said.

Each test is one kind of write on one database, with some lines of rules in force; it goes through
all kinds of reads, and each of these is a cell. `expected` has the table, `reads` and `writes` what
its names stand for. The page ``docs/reference/precision.md`` is made of the same; see `test_page`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import transaction
from django.db.models import F, Model

from cache_invalidation import ModelInvalidation, Tag
from cache_invalidation.testing import override_rules
from tests.bookshop.models import Book, Category, Comment, Person
from tests.bookshop.models import Tag as BookTag
from tests.precision.expected import LINES, cell, lines_to_try, stays
from tests.precision.reads import READS, Read
from tests.precision.world import World
from tests.precision.writes import WRITES, Write
from tests.surfaces.by_hand import DJANGOS_PAGE, tracking

__all__ = ["tracking"]

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"]),
    pytest.mark.usefixtures("tracking"),
]


class Titles(ModelInvalidation):
    """What the function with tags needs anyway."""

    tags = [Tag("titles:{category_id}", fields=["title"])]


@dataclass(frozen=True)
class Case:
    write: Write
    on_sqlite: bool
    lines: frozenset[str]

    @property
    def alias(self) -> str:
        return "sqlite" if self.on_sqlite else "default"

    def __str__(self) -> str:
        database = "SQLite" if self.on_sqlite else "PostgreSQL"
        return f"{self.write}, {database}, {''.join(sorted(self.lines)) or 'no rule'}"


CASES = [
    Case(write, on_sqlite, lines)
    for write in WRITES
    for on_sqlite in (False, True)
    for lines in lines_to_try(write.name)
]


@contextmanager
def in_force(lines: frozenset[str], *further: type[ModelInvalidation]) -> Iterator[None]:
    """Have these lines be all rules that there are, and `further` those of books besides."""
    rules: dict[type[Model], list[type[ModelInvalidation]]] = {
        **{model: [] for model in (Category, BookTag, Person, Comment)},
        Book: list(further),
    }
    for name in sorted(lines):
        rules[LINES[name].model].append(LINES[name].rule)
    with override_rules({model: found or None for model, found in rules.items()}):
        yield


def filled(world: World, reads: list[Read]) -> dict[Read, Any]:
    """Have each of them cached, and return by what."""
    found = {}
    for read in reads:
        asked, args = read.asked(), read.arguments(world)
        # It takes two requests until a page is cached whose key nobody had asked for.
        for _ in range(2 if read.surface == DJANGOS_PAGE else 1):
            asked(*args)
        assert asked.is_hit(*args), f"{read.name}: it is not cached to begin with"
        found[read] = asked
    return found


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_a_write_does_not_concern_stays_as_the_table_says(case: Case) -> None:
    _compare(case, [read for read in READS if read.name != "declared"])


@pytest.mark.parametrize("case", [case for case in CASES if not case.lines], ids=str)
def test_what_names_its_tags_stays_as_the_table_says(case: Case) -> None:
    _compare(case, [read for read in READS if read.name == "declared"], Titles)


def _compare(case: Case, reads: list[Read], *further: type[ModelInvalidation]) -> None:
    problems = []
    with in_force(case.lines, *further):
        _introduce(case, reads)
        world = World(case.alias)
        asked = filled(world, reads)
        values = {read: read.compute(*read.arguments(world)) for read in reads}
        # One database in autocommit and the other in a transaction: what drops is the same.
        with transaction.atomic(using=case.alias) if case.on_sqlite else nullcontext():
            case.write.run(world)
        for read in reads:
            args = read.arguments(world)
            assert read.compute(*args) == values[read], f"{read.name}: the write concerns it"
            said = cell(read.name, case.write.name, on_sqlite=case.on_sqlite)
            expected, found = stays(said, case.lines), asked[read].is_hit(*args)
            if expected is not None and found is not expected:
                problems.append(f"{read.name}: it {'stays' if found else 'drops'}, not {said!r}")
    assert not problems, "\n".join(["", *problems])


def _introduce(case: Case, reads: list[Read]) -> None:
    """Let the connection to SQLite learn of the tables what it learns from the first write."""
    world = World(case.alias)
    filled(world, reads[:1])
    case.write.run(world)


def _retitled(world: World) -> None:
    world.objects(Book).filter(pk=world.mine["book"].pk).update(
        title="mine, revised", price=F("price") + 1
    )


def _with_another(world: World) -> None:
    book = world.objects(Book).create(
        title="mine, too", category=world.mine["category"], author=world.mine["author"]
    )
    book.tags.add(world.mine["tag"])


def _deleted(world: World) -> None:
    world.mine["book"].delete()


def _renamed(name: str) -> Callable[[World], None]:
    def rename(world: World) -> None:
        row = world.mine[name]
        setattr(row, "text" if name == "comment" else "name", "renamed")
        row.save()

    return rename


SHOW_AUTHORS = {
    *("select_related", "beside_key", "page", "block", "response", "queryset", "tracked"),
    *("cache_page", "authors"),
}
#: What concerns which reads.
CONCERNING = {
    "retitled": (_retitled, {read.name for read in READS} - {"count", "exists"}),
    "another": (_with_another, {read.name for read in READS} - {"row", "exists"}),
    "deleted": (_deleted, {read.name for read in READS} - {"row"}),
    "author": (_renamed("author"), SHOW_AUTHORS),
    "tag": (_renamed("tag"), {"tags"}),
    "comment": (_renamed("comment"), {"comments"}),
    "category": (_renamed("category"), {"books"}),
}


@pytest.mark.parametrize("alias", ["default", "sqlite"])
@pytest.mark.parametrize("name", CONCERNING)
def test_what_a_write_concerns_drops_with_every_line_in_force(name: str, alias: str) -> None:
    write, concerned = CONCERNING[name]
    reads = [read for read in READS if read.name in concerned]
    with in_force(frozenset(LINES), Titles):
        world = World(alias)
        asked = filled(world, reads)
        before = {read: read.compute(*read.arguments(world)) for read in reads}
        write(world)
        for read in reads:
            args = read.arguments(world)
            after = read.compute(*args)
            assert after != before[read], f"{read.name}: the write does not concern it"
            assert asked[read](*args) == after, f"{read.name}: stale"
