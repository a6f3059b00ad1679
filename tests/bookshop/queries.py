"""What several pages of the shop show."""

from collections.abc import Sequence

from django.db.models import Count

from cache_invalidation import cached
from tests.bookshop.models import Book, Category, Tag

DAY = 24 * 60 * 60  # seconds


@cached(timeout=DAY)
def categories() -> list[tuple[int, str]]:
    """Return what the navigation shows."""
    return list(Category.objects.order_by("name").values_list("pk", "name"))


@cached(timeout=DAY)
def tag_cloud() -> list[tuple[int, str, int]]:
    """Return the tags, with how many books have each."""
    counted = Tag.objects.annotate(count=Count("books")).order_by("name")
    return list(counted.values_list("pk", "name", "count"))


# Lists are made of keys, which change when a book comes, goes or moves, and of the rows with these
# keys. So what changes in a book drops the pages that show it, and not the other pages of the list.


@cached(timeout=DAY, tags=["books"])
def newest() -> tuple[int, ...]:
    """Return the keys of the latest ten books."""
    return tuple(Book.objects.order_by("-pk").values_list("pk", flat=True)[:10])


@cached(timeout=DAY, tags=["titles:{category}"])
def by_title(category: int) -> tuple[int, ...]:
    """Return the keys of the books of a category."""
    books = Book.objects.filter(category=category)
    return tuple(books.order_by("title", "pk").values_list("pk", flat=True))


@cached(timeout=DAY)
def with_tag(tag: int) -> tuple[int, ...]:
    """Return the keys of the books with a tag, the latest first."""
    tagged = Book.tags.through._default_manager.filter(tag=tag).order_by("-book")
    return tuple(tagged.values_list("book", flat=True))


@cached(timeout=DAY, tags=["books-of:{author}"])
def of_author(author: int) -> tuple[int, ...]:
    """Return the keys of the books of an author, the latest first."""
    books = Book.objects.filter(author=author)
    return tuple(books.order_by("-pk").values_list("pk", flat=True))


def books(keys: Sequence[int]) -> list[Book]:
    """Return the books with these keys, in this order, with their authors."""
    found = Book.objects.select_related("author").in_bulk(keys)
    return [found[key] for key in keys if key in found]


@cached(timeout=DAY, tags=["in-stock:{book}"])
def in_stock(book: int) -> bool:
    return Book.objects.filter(pk=book, stock__gt=0).exists()
