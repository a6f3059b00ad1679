"""Assertions about cached functions: a call is stale with whatever its value depends on."""

import asyncio
from functools import partial

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ObjectDoesNotExist, SynchronousOnlyOperation
from django.test import TestCase
from model_bakery import baker

from cache_invalidation import ModelInvalidation, cached, invalidate
from cache_invalidation.testing import (
    assert_invalidates,
    assert_not_invalidates,
    capture_invalidations,
    override_rules,
)
from tests.testapp.models import Category, Product, Tag


@cached()
def name_of(category_id):
    return Category.objects.get(pk=category_id).name


@cached(tags=["heading:{category_id}"])
def heading(category_id, suffix="!"):
    return f"heading {category_id}{suffix}"


@cached()
def page(category_id):
    return [heading(category_id), name_of(category_id)]


@cached()
def products():
    return Product.objects.order_by("pk")  # Read only when it is stored.


@cached()
async def count_tags():
    return [await Tag.objects.acount(), await inner_coroutine(3)]


@cached(tags=["inner:{number}"])
async def inner_coroutine(number):
    return number


class Shelf(tuple[str, ...]):
    @property
    def size(self) -> int:
        return len(self)

    @cached(tags=["shelf:{self__size}:{number}"])
    def books(self, number=1):
        return number


@pytest.fixture
def category(database) -> Category:
    made: Category = baker.make(Category)
    made.save()
    return made


def test_a_call_is_stale_with_the_rows_that_it_reads(category):
    other = baker.make(Category)
    with assert_invalidates(partial(name_of, category.pk)):
        category.save()
    with assert_not_invalidates(partial(name_of, category.pk), products):
        other.save()
    with assert_invalidates(products):
        baker.make(Product)


def test_a_call_is_stale_with_the_tags_that_it_declares(db):
    with assert_invalidates(partial(heading, 3)), assert_not_invalidates(partial(heading, 4)):
        invalidate(tags=["heading:3"])
    with assert_invalidates(partial(heading, 3), partial(heading, category_id=4)):
        invalidate(tags=["heading:*"])


def test_a_call_with_declared_tags_is_not_stale_with_the_rows_that_it_reads(category):
    @cached(tags=["declared"])
    def name():
        return Category.objects.get(pk=category.pk).name

    with assert_not_invalidates(name):
        category.save()


def test_a_call_is_stale_with_what_the_calls_inside_depend_on(category):
    with assert_invalidates(partial(page, category.pk)):
        invalidate(tags=[f"heading:{category.pk}"])
    with assert_invalidates(partial(page, category.pk)):
        category.save()


def test_what_is_cached_already_makes_no_difference(transactional_db):
    category = baker.make(Category)
    page(category.pk)
    page(category.pk)
    with assert_invalidates(partial(page, category.pk)):
        invalidate(tags=[f"heading:{category.pk}"])


def test_a_call_that_is_invalidated_by_itself_is_stale(database):
    with assert_invalidates(partial(heading, 3)), assert_not_invalidates(partial(heading, 4)):
        heading.invalidate(3)
    with assert_invalidates(partial(heading, 3, suffix="?")):
        heading.invalidate(3, "?")


def test_a_call_is_made_before_the_block_so_that_what_it_read_then_counts(category):
    class Rule(ModelInvalidation):
        track = ["category"]

    @cached()
    def names(category_id):
        return [product.name for product in Product.objects.filter(category_id=category_id)]

    with override_rules({Product: Rule}):
        product = baker.make(Product, category=category)
        with assert_invalidates(partial(names, category.pk)):
            product.category = None
            product.save()
        with assert_not_invalidates(partial(names, category.pk)):
            product.save()


def test_methods_are_calls_on_their_instance(db):
    shelf = Shelf("ab")
    with assert_invalidates(
        shelf.books, partial(shelf.books, number=3), partial(Shelf.books, shelf)
    ):
        invalidate(tags=["shelf:2:1", "shelf:2:3"])
    with assert_not_invalidates(partial(Shelf("abc").books, 3)):
        invalidate(tags=["shelf:2:3"])
    with assert_invalidates(partial(shelf.books, 3)), assert_not_invalidates(shelf.books):
        shelf.books.invalidate(3)


def test_a_failure_says_on_what_the_call_depends(db):
    call = partial(heading, 3, suffix="?")
    with pytest.raises(AssertionError) as failure, assert_invalidates(call):
        invalidate(tags=["a"])
    name = "tests.testing.test_calls.heading"
    expected = f"  call    {name}(3, suffix='?'), which depends on heading:3"
    assert str(failure.value).splitlines()[1] == expected


def test_a_call_that_raises_has_no_value_that_could_be_stale(db):
    with pytest.raises(ObjectDoesNotExist), assert_invalidates(partial(name_of, 12345)):
        pass


def test_arguments_have_to_fit(db):
    with pytest.raises(TypeError, match="category_id"), assert_invalidates(heading):
        pass


def test_functions_work_as_before_after_an_assertion(transactional_db):
    category = baker.make(Category, name="before")
    with assert_not_invalidates(partial(name_of, category.pk)):
        assert name_of(category.pk) == "before"
    Category.objects.update(name="after")
    assert name_of(category.pk) == "after"


def test_coroutine_functions_can_be_asserted_without_a_coroutine(database):
    with assert_invalidates(count_tags):
        baker.make(Tag)
    with assert_invalidates(count_tags), assert_not_invalidates(partial(inner_coroutine, 4)):
        invalidate(tags=["inner:3"])


class AsynchronousTests(TestCase):
    """The transaction of a `TestCase` is in another thread than its coroutines."""

    tag: Tag

    @classmethod
    def setUpTestData(cls) -> None:
        cls.tag = Tag.objects.create(name="a")

    async def test_that_writes_are_captured(self) -> None:
        async with capture_invalidations() as captured:
            await self.tag.asave()
        assert captured.tags == {"testapp.tag", f"testapp.tag:{self.tag.pk}"}
        async with capture_invalidations() as captured:
            pass
        assert not captured

    async def test_that_calls_can_be_asserted(self) -> None:
        async with assert_invalidates(count_tags, self.tag):
            await asyncio.gather(*(self.tag.asave() for _ in range(3)))
        async with assert_not_invalidates(count_tags):
            await Category.objects.acreate(name="a")

    async def test_that_assertions_fail(self) -> None:
        with self.assertRaisesMessage(AssertionError, "nothing at all"):
            async with assert_invalidates(self.tag):
                pass

    async def test_that_a_plain_block_is_refused(self) -> None:
        with self.assertRaisesMessage(SynchronousOnlyOperation, "async with"):
            capture_invalidations().__enter__()


def test_in_a_coroutine_commits_are_captured(transactional_db):
    async def main() -> set[str]:
        async with capture_invalidations() as captured:
            await Tag.objects.acreate(pk=7, name="a")
        return captured.tags

    assert async_to_sync(main)() == {"testapp.tag", "testapp.tag:7"}
