"""What there is in the bookshop: each row that is read, and another that is written."""

from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import connections, transaction
from django.db.models import Model, QuerySet

from cache_invalidation import no_invalidation
from tests.bookshop.models import Book, Category, Comment, Person, Tag

# Whoever refers to others comes before them.
MODELS: tuple[type[Model], ...] = (Comment, Book.tags.through, Book, Tag, Person, Category)


class World:
    """A book with all that hangs on it, and another book with others of all that.

    `mine` and `other` are those rows, by the names of their models. What is cached is about `mine`.
    """

    def __init__(self, alias: str) -> None:
        self.alias = alias
        ContentType.objects.clear_cache()
        with no_invalidation(), transaction.atomic(using=alias):
            with connections[alias].cursor() as cursor:
                for model in MODELS:
                    cursor.execute(f'DELETE FROM "{model._meta.db_table}"')
            self.mine, self.other = self._make("mine"), self._make("other")

    def objects(self, model: type[Any]) -> QuerySet[Any]:
        return model._default_manager.using(self.alias)  # type: ignore[no-any-return]

    def _make(self, name: str) -> dict[str, Any]:
        category, author, tag = (
            self.objects(model).create(name=name) for model in (Category, Person, Tag)
        )
        book = self.objects(Book).create(title=name, category=category, author=author)
        book.tags.add(tag)
        comment = self.objects(Comment).create(text=name, target=book)
        return {
            "category": category,
            "author": author,
            "tag": tag,
            "book": book,
            "comment": comment,
        }
