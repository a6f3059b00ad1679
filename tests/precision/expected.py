"""What stays and what drops: the table that the matrix is held to, and the page is made of.

A line for each read, a column for each write. A cell says what the read does, on PostgreSQL and
after a stroke on SQLite if that differs:

- ``.`` stays, whatever the rules;
- small letters: stays with these lines in the rules, and drops without any;
- a capital: drops, whatever the rules, for that reason.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Model

from cache_invalidation import ModelInvalidation
from tests.bookshop.models import Book, Comment, Person
from tests.precision.writes import BOOKS, RELATED

TO_BOOKS: Final = """
                saved updated condition sql deleted created stock nothing undone
row             .     .       c         .   .       .       s     s       .
by_column       c     c       c         c   c       c       s     s       .
names           c     c       c         c   c       c       v     s       .
count           c     c       c         c   c       c       v     s       .
exists          c     c       c         c   c       c       v     s       .
total           c     c       c         c   c       c       v     s       .
declared        .     .       .         .   .       .       .     .       .
select_related  c     c       c         c   c       c       s     s       .
beside_key      c     c       c         c   c       c       v     s       .
page            c     c       c         c   c       c       s     s       .
block           c     c       c         c   c       c       s     s       .
response        c     c       c         c   c       c       s     s       .
queryset        c     c       c         c   c       c       s     s       .
tracked         c     c       c         c   c       c       s     s       .
cache_page      c     c       c         c   c       c       s     s       .
authors         c     c       c         c   c       c       s     s       .
tags            c     c       c         c   c       c       s     s       .
comments        c     c       c         c   co      c       s     s       .
books           c     c       c         c   c       c       s     s       .
of_tag          ./F   ./F     c/F       ./F c/F     ./F     s     s       .
condition       T     T       T         T   T       T       s     s       .
"""


TO_RELATED: Final = """
                login author tagged tag comment category
row             .     .      .      .   .       .
by_column       .     .      .      .   .       .
names           .     .      .      .   .       .
count           .     .      .      .   .       .
exists          .     .      .      .   .       .
total           .     .      .      .   .       .
declared        .     .      .      .   .       .
select_related  l     ./F    .      .   .       .
beside_key      l     ./F    .      .   .       .
page            l     ./F    .      .   .       .
block           l     ./F    .      .   .       .
response        l     ./F    .      .   .       .
queryset        l     ./F    .      .   .       .
tracked         l     ./F    .      .   .       .
cache_page      l     ./F    .      .   .       .
authors         l     .      .      .   .       .
tags            .     .      ./F    ./F .       .
comments        .     .      .      .   o       .
books           .     .      .      .   .       .
of_tag          .     .      .      .   .       .
condition       .     .      .      .   .       .
"""


@dataclass(frozen=True)
class Line:
    """One line in the rule of a model."""

    model: type[Model]
    option: str
    value: Any

    @property
    def rule(self) -> type[ModelInvalidation]:
        return type(f"{self.model.__name__}Rule", (ModelInvalidation,), {self.option: self.value})

    @property
    def text(self) -> str:
        return f"{self.option} = {self.value!r}".replace("'", '"')


LINES: Final[Mapping[str, Line]] = {
    "c": Line(Book, "track", ["category"]),
    "v": Line(Book, "volatile", ["stock"]),
    "s": Line(Book, "ignore", ["stock"]),
    "l": Line(Person, "ignore", ["last_login"]),
    "o": Line(Comment, "track", ["object_id"]),
}

REASONS: Final[Mapping[str, str]] = {
    "T": "it depends on every book: only keys and tracked columns tell rows apart;",
    "F": "it depends on every row of the joined table: SQLite does not hold to foreign keys in "
    "each connection.",
}


def _cells(table: str) -> Iterator[tuple[tuple[str, str], str]]:
    heading, *lines = (line.split() for line in table.strip().splitlines())
    for read, *cells in lines:
        for write, cell in zip(heading, cells, strict=True):
            yield (read, write), cell


#: By the names of read and write.
CELLS: Final = dict(_cells(TO_BOOKS)) | dict(_cells(TO_RELATED))

TABLES: Final = {"Writes to books": BOOKS, "Writes to what hangs on books": RELATED}


def cell(read: str, write: str, *, on_sqlite: bool) -> str:
    """Return what is said of a cell for one of the databases."""
    postgresql, _, sqlite = CELLS[read, write].partition("/")
    return sqlite if on_sqlite and sqlite else postgresql


def stays(said: str, lines: frozenset[str]) -> bool | None:
    """Return whether it stays with just these lines in force; None if nothing is said of that."""
    if said in REASONS:
        return False
    if said == "." or lines >= set(said):
        return True
    return None if lines else False


def lines_to_try(write: str) -> list[frozenset[str]]:
    """Return which lines have to be in force, one time after the other, for this write."""
    letters = {
        part for (_, name), said in CELLS.items() if name == write for part in said.split("/")
    }
    own = {frozenset(part) for part in letters if part != "." and part not in REASONS}
    return [frozenset(), *sorted(own, key=sorted), frozenset(LINES)]
