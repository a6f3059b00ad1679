"""The traffic of the bookshop of `tests.bookshop`."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from random import Random
from typing import Any, Final

from django.contrib.auth.models import update_last_login
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import F
from django.test import Client, override_settings

from cache_invalidation.testing import override_rules
from tests.benchmarks.replay.traffic import popular
from tests.bookshop.models import Book, Category, Comment, Person, Review, Sale, Tag
from tests.bookshop.rules import RULES

SETTINGS: Final[dict[str, Any]] = {
    "ROOT_URLCONF": "tests.bookshop.urls",
    "ALLOWED_HOSTS": ["testserver"],
    "MIDDLEWARE": ["cache_invalidation.middleware.CachePageMiddleware"],
}


class Bookshop:
    """A few hundred books, which are visited, bought, reviewed and edited."""

    name = "bookshop"

    def __init__(self) -> None:
        random = Random(1)
        # Django creates the row when somebody asks for it, and a page that writes is not stored.
        ContentType.objects.get_for_model(Book)
        self._categories = [Category.objects.create(name=f"Category {n}") for n in range(8)]
        self._people = [Person.objects.create(name=f"Person {n}") for n in range(60)]
        self._tags = [Tag.objects.create(name=f"Tag {n}") for n in range(30)]
        for number in range(240):
            self._create(random, f"Book {number:03}")
        self._books = list(Book.objects.order_by("pk").values_list("pk", flat=True))
        random.shuffle(self._books)
        self._client = Client()

    @classmethod
    @contextmanager
    def open(cls) -> Iterator["Bookshop"]:
        """Have the shop serve its pages, with its rules, until the block ends."""
        with override_settings(**SETTINGS), override_rules(RULES):
            yield cls()

    def _create(self, random: Random, title: str) -> Book:
        book = Book.objects.create(
            title=title,
            price=random.randint(5, 50),
            category=popular(random, self._categories),
            author=random.choice(self._people[:40]),
        )
        book.tags.set(random.sample(self._tags, 2))
        return book

    def read(self, random: Random) -> None:
        """Visit a page, the popular ones more often."""
        book, category = popular(random, self._books), popular(random, self._categories).pk
        path = random.choices(
            [
                "/",
                f"/categories/{category}/?page={popular(random, [1, 2, 3])}",
                f"/tags/{popular(random, self._tags).pk}/",
                f"/authors/{popular(random, self._people[:40]).pk}/",
                f"/books/{book}/",
                f"/api/books/?category={category}&page={popular(random, [1, 2])}",
                f"/api/books/{book}/",
            ],
            [15, 25, 8, 7, 30, 8, 7],
        )[0]
        response = self._client.get(path)
        assert response.status_code in (200, 404), path

    @property
    def writes(self) -> Mapping[str, tuple[int, Callable[[Random], Any]]]:
        """Each kind of write, and how often it is done next to the others."""
        return {
            "order placed": (30, self._order),
            "login": (30, self._log_in),
            "review added": (10, self._review),
            "comment added": (5, self._comment),
            "price saved": (8, self._save_price),
            "stock by update(F)": (6, self._restock),
            "title saved": (3, self._rename),
            "tag added": (3, self._add_tag),
            "author renamed": (1, self._rename_author),
            "category renamed": (1, self._rename_category),
            "prices of a category by update(F)": (1, self._sell_out),
            "book deleted": (1, self._delete),
            "book created": (1, self._publish),
        }

    def _book(self, random: Random) -> Book:
        return Book.objects.get(pk=popular(random, self._books))

    def _order(self, random: Random) -> None:
        with transaction.atomic():
            for pk in sorted({popular(random, self._books) for _ in range(random.randint(1, 3))}):
                Book.objects.filter(pk=pk).update(stock=F("stock") - 1)
                Sale.objects.create(book_id=pk)

    def _log_in(self, random: Random) -> None:
        person: Any = popular(random, self._people)
        update_last_login(type(person), person)

    def _review(self, random: Random) -> None:
        writer, text = random.choice(self._people), f"Review {random.random()}"
        Review.objects.create(book=self._book(random), writer=writer, text=text)

    def _comment(self, random: Random) -> None:
        Comment.objects.create(target=self._book(random), text=f"Comment {random.random()}")

    def _save_price(self, random: Random) -> None:
        book = Book.objects.get(pk=random.choice(self._books))
        book.price += Decimal("0.50")
        book.save()

    def _restock(self, random: Random) -> None:
        Book.objects.filter(pk=popular(random, self._books)).update(stock=F("stock") + 20)

    def _rename(self, random: Random) -> None:
        book = Book.objects.get(pk=random.choice(self._books))
        book.title += ", revised"
        book.save()

    def _add_tag(self, random: Random) -> None:
        book = self._book(random)
        book.tags.add(random.choice([tag for tag in self._tags if tag not in book.tags.all()]))

    def _rename_author(self, random: Random) -> None:
        Person.objects.filter(pk=random.choice(self._people).pk).update(
            name=f"Person {random.random()}"
        )

    def _rename_category(self, random: Random) -> None:
        category = random.choice(self._categories)
        category.name = f"Category {random.random()}"
        category.save()

    def _sell_out(self, random: Random) -> None:
        category = random.choice(self._categories)
        Book.objects.filter(category=category).update(price=F("price") - Decimal("0.10"))

    def _delete(self, random: Random) -> None:
        pk = self._books.pop(random.randrange(len(self._books)))
        Book.objects.get(pk=pk).delete()

    def _publish(self, random: Random) -> None:
        self._books.insert(0, self._create(random, f"Book {random.random()}").pk)
