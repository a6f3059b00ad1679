"""The page ``docs/reference/precision.md``, made of the table that the matrix is held to."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tests.precision.expected import CELLS, LINES, REASONS, TABLES
from tests.precision.reads import READS
from tests.precision.writes import Write

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "reference" / "precision.md"

_BEGINNING: Final = """\
# What stays

[What is seen](coverage.md) is about what has to go. This page is about what need not: each kind of
cached read, and each kind of write that does not concern it. Each cell is a test, on PostgreSQL in
autocommit and on SQLite in a transaction. This page is made from the tests, and one of them fails
when it does not say what they say.

The reads are about the books of one category, with what hangs on them. The writes are about another
book, which has another category, another author and other tags; or they change what no read shows.
So nothing that is cached is another value afterwards, and whatever drops, drops needlessly.

**stays**: it is a hit afterwards, whatever the rules. With a number, it is a hit if a rule has that
line, and drops if there is no rule:
"""
_DROPS: Final = """\
**drops**, whatever the rules, because
"""
_LISTS: Final = """\
"…" stands for the books of a category, and "… the same" and what follows it for the list with
authors. The function with `tags` has a rule that names them, as it has to:
`tags = [Tag("titles:{category_id}", fields=["title"])]`. Where a column is ignored, a connection to
SQLite must have [written the table before](../how-to/caching.md#writes-that-nobody-waits-for).
"""
_ENDING: Final = """\
That a write drops what it *does* concern is tested with all of these lines in force, and for every
way of writing on [the other page](coverage.md). How often something is dropped for nothing in the
traffic of a site is measured: see [Needless drops](../explanation/costs.md#needless-drops).
"""


def page() -> str:
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _BEGINNING
    for number, line in enumerate(LINES.values(), 1):
        yield f"{number}. `{line.text}` for `{line.model.__name__}`"
    yield f"\n{_DROPS}"
    for letter, reason in zip(_letters(), REASONS.values(), strict=True):
        yield f"- {letter}: {reason}"
    yield f"\n{_LISTS}"
    for title, writes in TABLES.items():
        yield f"## {title}\n"
        yield from _table(writes)
        yield ""
    yield _ENDING


def _table(writes: list[Write]) -> Iterator[str]:
    yield _row(["", *(write.title for write in writes)])
    yield "|" + "---|" * (len(writes) + 1)
    for read in READS:
        yield _row([read.title, *(_shown(CELLS[read.name, write.name]) for write in writes)])


def _row(cells: Iterable[str]) -> str:
    return "".join(f"| {cell} " if cell else "| " for cell in cells) + "|"


def _shown(said: str) -> str:
    postgresql, _, sqlite = said.partition("/")
    shown = _word(postgresql)
    return f"{shown}; SQLite: {_word(sqlite)}" if sqlite else shown


def _word(said: str) -> str:
    if said == ".":
        return "stays"
    if said in REASONS:
        return f"**drops**, {dict(zip(REASONS, _letters(), strict=True))[said]}"
    return "stays, " + " and ".join(str(list(LINES).index(letter) + 1) for letter in said)


def _letters() -> str:
    return "abcdefgh"[: len(REASONS)]
