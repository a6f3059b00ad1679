"""An instance may hold what is not in the database; tags are made of what is."""

from enum import Enum
from typing import Any

import pytest

from cache_invalidation import ModelInvalidation, cached
from tests.delivered import Delivered
from tests.ruled import in_force
from tests.testapp.models import Author, Book, Category, Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


class Slug(str, Enum):  # noqa: UP042 - its text is not its value, unlike that of a `StrEnum`
    SALE = "sale"


class ProductRule(ModelInvalidation):
    tags = ["slug:{category__slug}"]


class CategoryRule(ModelInvalidation):
    tags = ["slug:{slug}"]


class AuthorRule(ModelInvalidation):
    tags = ["initial:{initial}"]


class BookRule(ModelInvalidation):
    families = ["by"]

    def get_tags(self, change):
        return [] if change.new is None else [f"by:{a.name}" for a in change.new.authors.all()]


rules = in_force({Product: ProductRule, Category: CategoryRule, Author: AuthorRule, Book: BookRule})


def test_a_related_instance_may_be_older_than_its_row(using: str, deliveries: Delivered) -> None:
    category = Category.objects.using(using).create(name="C", slug="old")
    Category.objects.using(using).filter(pk=category.pk).update(slug="new")
    deliveries.clear()
    product = Product(name="P", category=category)
    product.save(using=using)
    assert deliveries.family("slug") == {"slug:new"}
    assert product.category is category


def test_a_related_row_is_looked_up_where_the_instance_was_saved(deliveries: Delivered) -> None:
    Category.objects.using("default").create(pk=5, name="C", slug="in-default")
    Category.objects.using("sqlite").create(pk=5, name="C", slug="in-sqlite")
    deliveries.clear()
    Product(name="P", category_id=5).save(using="sqlite")
    assert deliveries.family("slug") == {"slug:in-sqlite"}


@pytest.mark.parametrize("how", ["save", "update_fields", "bulk_create"])
def test_what_an_instance_has_computed_may_be_of_what_it_held_before(
    using: str, deliveries: Delivered, how: str
) -> None:
    author = Author(name="Ann")
    if how != "bulk_create":
        author.save(using=using)
        author = Author.objects.using(using).get()
    deliveries.clear()
    before = author.initial
    author.name = "Bea"
    match how:
        case "save":
            author.save()
        case "update_fields":
            author.save(update_fields=["name"])
        case "bulk_create":
            Author.objects.using(using).bulk_create([author])
    assert "initial:B" in deliveries.family("initial")
    assert author.initial == before, "The instance is the project's."


def test_what_was_prefetched_may_be_older_than_the_row(using: str, deliveries: Delivered) -> None:
    Book.objects.using(using).create(title="B")
    book = Book.objects.using(using).prefetch_related("authors").get()
    author = Author.objects.using(using).create(name="Ann")
    Book.objects.using(using).get().authors.add(author)
    deliveries.clear()
    book.save()
    assert deliveries.family("by") == {"by:Ann"}
    assert not book.authors.all(), "The instance is the project's."


class ToReplica:
    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "other"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"

    def allow_relation(self, *objects: Any, **hints: Any) -> bool:
        return True


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
@pytest.mark.parametrize("how", ["save", "update"])
def test_a_related_row_is_not_looked_up_in_a_replica(
    deliveries: Delivered, settings: Any, how: str
) -> None:
    Category.objects.using("other").create(pk=5, name="C", slug="old")
    Category.objects.using("default").create(pk=5, name="C", slug="new")
    Product.objects.using("default").create(name="P", category_id=5)
    settings.DATABASE_ROUTERS = [ToReplica()]
    deliveries.clear()
    if how == "save":
        Product(name="Q", category_id=5).save()
    else:
        Product.objects.update(price=4)
    assert deliveries.family("slug") == {"slug:new"}


def test_an_enumeration_is_written_as_its_value(using: str, deliveries: Delivered) -> None:
    Category.objects.using(using).create(name="C", slug=Slug.SALE)
    assert Category.objects.using(using).get().slug == "sale"
    assert deliveries.family("slug") == {"slug:sale"}


def test_an_enumeration_is_read_as_its_value(using: str) -> None:
    @cached(tags=["slug:{slug}"], name="names-by-slug")
    def names(slug: Slug) -> list[str]:
        found = Category.objects.using(using).filter(slug=slug.value)
        return list(found.values_list("name", flat=True))

    assert names(Slug.SALE) == []
    Category.objects.using(using).create(name="C", slug="sale")
    assert names(Slug.SALE) == ["C"]
