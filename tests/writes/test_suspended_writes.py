"""What is written under `no_invalidation` and rolled back is seen by nobody."""

from collections.abc import Callable

import pytest
from django.db import transaction

from cache_invalidation import ModelInvalidation, cached, no_invalidation, registry
from tests.testapp.models import Category, Product, Tag

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


def save(product: Product, tag: Tag) -> None:
    product.name = "never"
    product.save()


def delete(product: Product, tag: Tag) -> None:
    product.delete()


def add(product: Product, tag: Tag) -> None:
    product.tags.add(tag)


def remove(product: Product, tag: Tag) -> None:
    product.tags.remove(tag)


def clear(product: Product, tag: Tag) -> None:
    product.tags.clear()


@pytest.mark.parametrize("using", ["default", "sqlite"])
@pytest.mark.parametrize("write", [save, delete, add, remove, clear])
def test_a_read_of_the_same_transaction_stores_nothing(
    write: Callable[[Product, Tag], None], using: str
) -> None:
    @cached(tags=[Product, Tag], name="suspended")
    def state() -> list[tuple[str, str | None]]:
        products = Product.objects.using(using).order_by("pk", "tags")
        return list(products.values_list("name", "tags__name"))

    with registry.override(Product, ModelInvalidation), registry.override(Tag, ModelInvalidation):
        product = Product.objects.using(using).create(name="P")
        tags = [Tag.objects.using(using).create(name=name) for name in ("red", "blue")]
        product.tags.add(tags[0])
        tag = tags[1] if write is add else tags[0]
        with pytest.raises(KeyError), transaction.atomic(using=using):
            with no_invalidation():
                write(Product.objects.using(using).get(), tag)
            assert state() != [("P", "red")]
            raise KeyError
        assert state() == [("P", "red")]


def test_a_transaction_that_wrote_nothing_else_stores_again_once_it_is_over() -> None:
    computed: list[int] = []

    @cached(tags=[Category], name="suspended-over")
    def page() -> int:
        computed.append(1)
        return len(computed)

    with registry.override(Category, ModelInvalidation):
        with transaction.atomic():
            with no_invalidation():
                Category.objects.create(name="C")
            assert (page(), page()) == (1, 2)
        assert (page(), page()) == (3, 3)
