"""An instance may hold what is not in the database; tags are made of what is."""

from enum import Enum

import pytest

from cache_invalidation import ModelInvalidation, cached
from tests.delivered import Delivered
from tests.ruled import in_force
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


class Slug(str, Enum):  # noqa: UP042 - its text is not its value, unlike that of a `StrEnum`
    SALE = "sale"


class ProductRule(ModelInvalidation):
    tags = ["slug:{category__slug}"]


class CategoryRule(ModelInvalidation):
    tags = ["slug:{slug}"]


rules = in_force({Product: ProductRule, Category: CategoryRule})


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
