"""The kinds of cached reads; each shows what `mine` is in the world, and nothing of the other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.db import connections
from django.db.models import Sum

from cache_invalidation import cached
from tests.bookshop.models import Book, Category
from tests.precision.world import World
from tests.surfaces.asking import BLOCK, FUNCTION, PAGE, RESPONSE, Asked
from tests.surfaces.by_hand import DJANGOS_PAGE, GET_OR_SET

Compute = Callable[..., Any]

#: Cached in another way than `Asked` has.
QUERYSET: Final = "queryset"
DECLARED: Final = "function with tags"


@dataclass(frozen=True)
class Read:
    """One kind of read: `compute` gets a database alias, and the key of the row called `of`."""

    name: str
    title: str
    of: str
    compute: Compute
    surface: str = FUNCTION

    def asked(self) -> "Asked | Declared | Queried":
        """Return what caches it."""
        name = f"precision {self.name}"
        if self.surface == DECLARED:
            return Declared(self.compute, name)
        return Queried() if self.surface == QUERYSET else Asked(self.surface, self.compute, name)

    def arguments(self, world: World) -> tuple[str, int]:
        return world.alias, world.mine[self.of].pk


class Declared:
    """A function that says on what it depends."""

    def __init__(self, compute: Compute, name: str) -> None:
        self.runs = 0

        def titles(alias: str, category: int) -> Any:
            self.runs += 1
            return compute(alias, category)

        self._call = cached(timeout=300, name=name, tags=["titles:{category}"])(titles)

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    def is_hit(self, *args: Any) -> bool:
        before = self.runs
        self(*args)
        return self.runs == before


class Queried:
    """A queryset that is cached itself; a hit is one that does not ask the database."""

    def __call__(self, alias: str, category: int) -> Any:
        return _with_authors(_books(alias, category).select_related("author").cached())

    def is_hit(self, alias: str, category: int) -> bool:
        statements = list[str]()

        def note(execute: Any, sql: str, *about: Any) -> Any:
            statements.append(sql)
            return execute(sql, *about)

        with connections[alias].execute_wrapper(note):
            self(alias, category)
        return not statements


def _books(alias: str, category: int) -> Any:
    return Book.objects.using(alias).filter(category=category).order_by("pk")


def _titles(books: Any) -> list[str]:
    return [book.title for book in books]


def _with_authors(books: Any) -> list[list[str]]:
    return [[book.title, book.author.name] for book in books]


def row(alias: str, book: int) -> Any:
    return Book.objects.using(alias).get(pk=book).title


def rows_by_column(alias: str, category: int) -> Any:
    return _titles(_books(alias, category))


def names(alias: str, category: int) -> Any:
    return list(_books(alias, category).values_list("title", flat=True))


def rows_by_condition(alias: str, book: int) -> Any:
    return _titles(Book.objects.using(alias).filter(title__startswith="mine").order_by("pk"))


def select_related(alias: str, category: int) -> Any:
    return _with_authors(_books(alias, category).select_related("author"))


def values_beside_key(alias: str, category: int) -> Any:
    return list(map(list, _books(alias, category).values_list("title", "author", "author__name")))


def prefetched_author(alias: str, category: int) -> Any:
    return _with_authors(_books(alias, category).prefetch_related("author"))


def prefetched_tags(alias: str, category: int) -> Any:
    books = _books(alias, category).prefetch_related("tags")
    return [[book.title, *(tag.name for tag in book.tags.all())] for book in books]


def prefetched_comments(alias: str, category: int) -> Any:
    books = _books(alias, category).prefetch_related("comments")
    return [[book.title, *(comment.text for comment in book.comments.all())] for book in books]


def prefetched_books(alias: str, category: int) -> Any:
    found: Any = Category._default_manager.using(alias).prefetch_related("books").get(pk=category)
    return [found.name, *_titles(found.books.all())]


def books_of_tag(alias: str, tag: int) -> Any:
    return _titles(Book.objects.using(alias).filter(tags=tag).order_by("pk"))


def total(alias: str, category: int) -> Any:
    return str(_books(alias, category).aggregate(total=Sum("price"))["total"])


def count(alias: str, category: int) -> Any:
    return _books(alias, category).count()


def exists(alias: str, category: int) -> Any:
    return _books(alias, category).exists()


READS: Final = [
    Read("row", "a row by its key", "book", row),
    Read("by_column", "a list by a column", "category", rows_by_column),
    Read("names", "… `values_list` of it", "category", names),
    Read("count", "… `count()`", "category", count),
    Read("exists", "… `exists()`", "category", exists),
    Read("total", "… an aggregate", "category", total),
    Read("declared", "… a function with `tags`", "category", names, DECLARED),
    Read("select_related", "… `select_related` authors", "category", select_related),
    Read("beside_key", "… values of authors, beside their keys", "category", values_beside_key),
    Read("page", "… the same as a page", "category", select_related, PAGE),
    Read("block", "… as a template block", "category", select_related, BLOCK),
    Read("response", "… as a REST response", "category", select_related, RESPONSE),
    Read("queryset", "… as a cached queryset", "category", select_related, QUERYSET),
    Read("tracked", "… under a tracked key", "category", select_related, GET_OR_SET),
    Read("cache_page", "… as a page of Django's", "category", select_related, DJANGOS_PAGE),
    Read("authors", "… prefetched authors", "category", prefetched_author),
    Read("tags", "… prefetched tags", "category", prefetched_tags),
    Read("comments", "… prefetched comments", "category", prefetched_comments),
    Read("books", "books prefetched for a category", "category", prefetched_books),
    Read("of_tag", "a list by a tag", "tag", books_of_tag),
    Read("condition", "a list by another condition", "book", rows_by_condition),
]
