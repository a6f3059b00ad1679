"""The page ``docs/reference/coverage.md``, made of the declarations that the matrix is run with."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tests.coverage_matrix.kinds import KINDS, Kind
from tests.coverage_matrix.matrix import SECTIONS
from tests.coverage_matrix.ways import But, Goes, Seen, Way

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "reference" / "coverage.md"

_SEEN: Final[dict[Seen, str]] = {
    "save": "the save",
    "signal": "a signal",
    "queryset": "the method",
    "statement": "the statement",
}
_GOES: Final[dict[Goes, str]] = {
    "nothing": "nothing",
    "relation": "relation",
    "relations": "relation, and what the rule names for any row",
    "row": "row",
    "rows": "rows",
    "table": "table",
    "everything": "everything",
}
_BEGINNING: Final = """\
# What is seen

Each line of these tables is a test: it caches something, writes, and compares what is cached with
what is in the database. This page is made from the tests, and a test fails when it does not say
what they say.

Every way of writing is tried

- on PostgreSQL and on SQLite, in a transaction and in autocommit;
- on a model without a rule, and on one whose rule looks at values: it has `tags` made of another
  column than the primary key, and `track`s that column;
- with one cached read of each shape: a row by its primary key, a list, an aggregate, a join through
  foreign keys, a many-to-many relation from both sides, rows by the value of a column; and with
  what hangs on the row, where that is written. None of them names its tags, `@cached()` finds out;
- in one of these cases, with pages, template blocks, REST responses and querysets besides, these by
  `cached()` and by `QUERIES`, that show a row, a list, a total, a join, a prefetched many-to-many
  relation and rows by the value of a column. They find out what they read as functions do, so each
  way of writing has two of these, by turns;
- and, in that case, with two of the shapes cached by hand under tracked keys, by turns as well:
  by `cache.get_or_set`, by `cache.get` and `cache.set`, by these with the row read before the
  `get`, and by Django's own `cache_page`. They go and stay as functions do. It takes two requests
  until what was read before the `get` is cached, and two until a page of `cache_page` is cached
  again that a transaction has met which had written.

**None is stale, anywhere:** not after the write, not inside of the transaction that wrote. What
follows is about how it is seen, and how much goes.

**Seen by**

the save
: `Model.save()`, whoever calls it. It knows the row, before and after.

a signal
: `pre_delete`, which says the same.

the method
: `QuerySet.update()` or `bulk_create()`. It looks which rows they are where a rule wants to know.

the statement
: The SQL as it passes through the cursor. It says which rows it writes, or it does not.

**What goes**

relation
: What reads the table of the relation, and was looked up by one of the rows that it relates. All
  else stays: these rows, and lists of them.

row
: What depends on the rows that are written. Other rows stay cached, and so does what was looked up
  by another value of a column that is tracked.

rows
: What depends on any row of the table by its primary key. Of what was looked up by the value of a
  column, only that with a value that was written.

table
: What depends on any row of the table.

everything
: What depends on any table.

nothing
: Everything stays cached.

A list, an aggregate or a join depends on the whole table in any case, unless it asks by primary key
or by a column that is tracked. Models that are not written stay as they are; the tests look at that
as well. What else stays is on [a page of its own](precision.md).
"""
_UNUSUAL: Final = """\
## Unusual models

Each of these is written with `create()`, `save()`, `update()`, `bulk_update()`, `delete()`,
`delete()` of a queryset, and on a cursor with `UPDATE` by primary key and by a value: in a
transaction or in autocommit, with a rule that looks at values and without one, on both databases
unless one is named. Cached are the row by its primary key, the rows with the value of a column, a
list, a list of a function that names the model as its tag; and the same of each table above it or
beside it.

**None is stale.** An `UPDATE` by a value drops what depends on any row of the table, as above.
"""


def page() -> str:
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _BEGINNING
    for section in SECTIONS:
        yield f"## {section.title}\n"
        if section.note:
            yield f"{section.note}\n"
        yield "| Way of writing | Seen by | What goes | |"
        yield "|---|---|---|---|"
        for way in section.ways:
            cells = (way.title, _seen(way), _goes(way), " ".join(_remarks(way)))
            yield _row(cells)
        yield ""
    yield _UNUSUAL
    yield "| Kind of model | What goes | |"
    yield "|---|---|---|"
    for kind in KINDS:
        yield _row((kind.title, _GOES[kind.goes], " ".join(_remarks_about(kind))))
    yield ""


def _row(cells: Iterable[str]) -> str:
    return "".join(f"| {cell} " if cell else "| " for cell in cells) + "|"


def _seen(way: Way) -> str:
    if way.seen == way.seen_by_rule:
        return _SEEN[way.seen]
    return f"{_SEEN[way.seen]}; with a rule {_SEEN[way.seen_by_rule]}"


def _goes(way: Way) -> str:
    found = _GOES[way.goes]
    if way.goes != way.goes_by_rule:
        found += f"; with a rule {_GOES[way.goes_by_rule]}"
    return "; ".join([found, *map(_but, way.but)])


def _but(but: But) -> str:
    where = [
        f"on {but.database}" if but.database else "",
        {None: "", True: "in a transaction", False: "in autocommit"}[but.atomic],
        {None: "", True: "with a rule", False: "without a rule"}[but.rule],
    ]
    return f"{_GOES[but.goes]} {' '.join(filter(None, where))}"


def _remarks(way: Way) -> Iterator[str]:
    if way.note:
        yield way.note
    if way.since:
        yield f"Django {'.'.join(map(str, way.since))}."
    if len(way.databases) == 1:
        yield f"{way.databases[0]}."
    if way.lingers:
        yield (
            f"In autocommit on {way.lingers} nothing that depends on it is cached for "
            "[`FENCE_TIMEOUT`](settings.md)."
        )


def _remarks_about(kind: Kind) -> Iterator[str]:
    if kind.note:
        yield kind.note
    if len(kind.databases) == 1:
        yield f"{kind.databases[0]}."
