"""The rules that the shop has, by model. They make precise what is right without them."""

from collections.abc import Iterator, Mapping, Sequence

from django.db.models import Model

from cache_invalidation import Change, ModelInvalidation, Tag
from tests.bookshop.models import Book, Comment, Person, Review


class BookRule(ModelInvalidation):
    track = ["category"]
    tags = [
        Tag("books", fields=["id"]),
        Tag("titles:{category_id}", fields=["title", "category"]),
        Tag("books-of:{author_id}", fields=["author"]),
    ]
    # Each order writes it. Pages show whether there is any, which is the next rule.
    ignore = ["stock"]


class StockRule(ModelInvalidation):
    """Names the books that are sold out by a write, or are not any longer."""

    fields = ["stock"]
    families = ["in-stock"]

    def get_tags(self, change: Change) -> Iterator[str]:
        books = [state for state in change.instances if isinstance(state, Book)]
        if change.operation != "update" or len({book.stock > 0 for book in books}) > 1:
            yield from (f"in-stock:{book.pk}" for book in books)


class PersonRule(ModelInvalidation):
    ignore = ["last_login"]


class ReviewRule(ModelInvalidation):
    track = ["book"]


class CommentRule(ModelInvalidation):
    track = ["object_id"]


RULES: Mapping[type[Model], Sequence[type[ModelInvalidation]]] = {
    Book: [BookRule, StockRule],
    Person: [PersonRule],
    Review: [ReviewRule],
    Comment: [CommentRule],
}
