"""`cached` without tags: a value depends on what its function reads, however it reads."""

import pytest
from asgiref.sync import async_to_sync
from django.db import connections, transaction

from cache_invalidation import ModelInvalidation, cached, invalidate, registry
from cache_invalidation.stores import get_store
from tests.delivered import commands, update_behind_the_back
from tests.testapp.models import (
    Author,
    Authorship,
    Book,
    Category,
    Product,
    Review,
    Tag,
)

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])


@pytest.fixture
def shop():
    category = Category.objects.create(name="A")
    product = Product.objects.create(name="P", category=category, stock=1)
    product.tags.add(Tag.objects.create(name="T"))
    Review.objects.create(product=product, text="R", rating=3)
    return product


def test_rows_that_are_asked_for_by_key_are_all_it_depends_on(shop):
    @cached()
    def name(pk):
        return Product.objects.get(pk=pk).name

    @cached()
    def names():
        return sorted(Product.objects.values_list("name", flat=True))

    other = Product.objects.create(name="other")
    assert (name(shop.pk), names()) == ("P", ["P", "other"])
    update_behind_the_back(Product.objects.filter(pk=shop.pk), name="unseen")
    Product.objects.filter(pk=other.pk).update(name="new")
    assert name(shop.pk) == "P"
    assert names() == ["new", "unseen"]


def test_a_tracked_field_narrows_what_it_depends_on(shop):
    class Rule(ModelInvalidation):
        track = ["category"]

    @cached()
    def in_category(pk):
        return list(Product.objects.filter(category=pk).values_list("name", flat=True))

    with registry.override(Product, Rule):
        other = Product.objects.create(name="other", category=Category.objects.create(name="B"))
        assert in_category(shop.category_id) == ["P"]
        update_behind_the_back(Product.objects.filter(pk=shop.pk), name="unseen")
        other.save()
        Product.objects.filter(pk=other.pk).update(name="x")
        assert in_category(shop.category_id) == ["P"]
        other.category = shop.category
        other.save()
        assert sorted(in_category(shop.category_id)) == ["other", "unseen"]


def test_the_second_run_asks_for_all_versions_at_once_and_a_hit_is_one_command(shop, redis_client):
    @cached()
    def page():
        return [Product.objects.count(), Tag.objects.count(), Review.objects.count()]

    with commands(redis_client) as first:
        page()
    with commands(redis_client) as hit:
        page()
    assert sum(hit.values()) == 1
    Tag.objects.create(name="new")
    with commands(redis_client) as second:
        assert page() == [1, 2, 1]
    # What is known is asked for at once; what is put is the version that is gone, and the value.
    assert (second["mget"], second["set"]) == (1, 2)
    assert first["set"] == 6  # With the tag of the function, which is there from then on.
    with commands(redis_client) as hit:
        page()
    assert sum(hit.values()) == 1


@pytest.mark.parametrize("inner_tags", [None, [Tag]])
def test_a_cached_function_inside_hands_up_what_it_depends_on(shop, inner_tags):
    @cached(tags=inner_tags, name=f"inner {inner_tags}")
    def inner():
        return Tag.objects.get().name

    @cached(name=f"outer {inner_tags}")
    def outer():
        return f"{inner()} {Product.objects.get().name}"

    @cached(tags=["front"], name=f"outermost {inner_tags}")
    def outermost():
        return outer()

    assert outermost() == outer() == "T P"
    Tag.objects.update(name="U")
    assert outermost() == outer() == "U P"
    Product.objects.update(name="Q")
    assert outermost() == outer() == "U Q"
    invalidate(tags=["front"])
    assert outermost() == "U Q"


@pytest.mark.parametrize("tags", [None, [Product]])
@pytest.mark.parametrize(
    "wrap",
    [lambda x: x, lambda x: {"a": [x]}, lambda x: x.filter(stock=1), lambda x: x.values("name")],
)
def test_a_queryset_that_is_returned_is_evaluated_and_counts_as_read(shop, tags, wrap):
    @cached(tags=tags)
    def page():
        return wrap(Product.objects.order_by("name"))

    @cached()
    def outer():
        return page()

    def names(value):
        rows = value["a"][0] if isinstance(value, dict) else value
        return [row["name"] if isinstance(row, dict) else row.name for row in rows]

    for read in (page, outer):
        assert names(read()) == names(read()) == ["P"]
    Product.objects.update(name="Q")
    for read in (page, outer):
        assert names(read()) == ["Q"]


def test_what_cannot_be_stored_is_returned_and_not_stored(shop, caplog):
    @cached()
    def page():
        return (each.name for each in Product.objects.all())

    assert list(page()) == list(page()) == ["P"]
    assert "cannot be stored" in caplog.text
    Product.objects.update(name="Q")
    assert list(page()) == ["Q"]


def test_who_catches_what_a_function_raises_depends_on_what_it_has_read(shop):
    @cached()
    def price(pk):
        if not Product.objects.filter(pk=pk, stock__gt=5).exists():
            raise LookupError
        return 1

    @cached()
    def page(pk):
        try:
            return price(pk)
        except LookupError:
            return "sold out"

    assert page(shop.pk) == page(shop.pk) == "sold out"
    Product.objects.filter(pk=shop.pk).update(stock=9)
    assert page(shop.pk) == 1


def test_coroutines_record_what_they_read(shop):
    @cached()
    async def page(pk):
        product = await Product.objects.select_related("category").aget(pk=pk)
        tags = [tag.name async for tag in product.tags.all()]
        return [product.name, str(product.category), tags, await Review.objects.acount()]

    def read():
        return async_to_sync(page)(shop.pk)

    assert read() == ["P", "A", ["T"], 1]
    Tag.objects.update(name="U")
    assert read() == ["P", "A", ["U"], 1]
    Category.objects.update(name="B")
    assert read() == ["P", "B", ["U"], 1]
    Review.objects.all().delete()
    Product.objects.update(name="Q")
    assert read() == ["Q", "B", ["U"], 0]
    update_behind_the_back(Product.objects.all(), name="unseen")
    assert read() == ["Q", "B", ["U"], 0]


@pytest.mark.parametrize("lock", [False, True])
def test_methods_refreshing_and_invalidating_by_name(shop, monkeypatch, lock):
    method = cached(lock=lock, name=f"labels {lock}")(
        lambda self: [tag.name for tag in self.tags.all()]
    )
    monkeypatch.setattr(Product, "labels", method, raising=False)
    product = Product.objects.get(pk=shop.pk)
    labels = product.labels  # type: ignore[attr-defined]
    assert labels() == labels() == ["T"]
    update_behind_the_back(Tag.objects.all(), name="U")
    assert labels() == ["T"]
    assert labels.refresh() == labels() == ["U"]
    update_behind_the_back(Tag.objects.all(), name="V")
    labels.invalidate()
    assert labels() == ["V"]
    Tag.objects.update(name="W")
    assert labels() == ["W"]


def test_both_databases_are_recorded(shop):
    @cached()
    def names():
        return [
            list(Category.objects.using(using).values_list("name", flat=True))
            for using in ("default", "other", "sqlite")
        ]

    assert names() == [["A"], [], []]
    Category.objects.using("other").create(name="B")
    assert names() == [["A"], ["B"], []]
    with connections["sqlite"].cursor() as cursor:
        cursor.execute("INSERT INTO testapp_category (name, slug) VALUES ('C', '')")
    assert names() == [["A"], ["B"], ["C"]]


def test_a_relation_with_a_model_of_its_own_is_recorded():
    book, author = Book.objects.create(title="B"), Author.objects.create(name="A")

    @cached()
    def authors():
        return [[each.name for each in book.authors.all()], list(author.books.values_list("title"))]

    assert authors() == [[], []]
    relation = Authorship.objects.create(book=book, author=author)
    assert authors() == [["A"], [("B",)]]
    Authorship.objects.filter(pk=relation.pk)._raw_delete("default")
    assert authors() == [[], []]


def test_brackets_may_be_left_out():
    @cached
    def number_of_categories():
        return Category.objects.count()

    assert number_of_categories() == 0
    Category.objects.create(name="a")
    assert number_of_categories() == 1
    assert number_of_categories.key().endswith("number_of_categories")


@pytest.mark.parametrize("using", ["default", "sqlite"])
def test_what_it_has_written_and_taken_back_is_not_stored(using):
    product = Product.objects.using(using).create(name="P")

    @cached()
    def what_if(name):
        with transaction.atomic(using):
            Product.objects.using(using).filter(pk=product.pk).update(name=name)
            found = Product.objects.using(using).get(pk=product.pk).name
            transaction.set_rollback(True, using)
        return found

    @cached()
    def outer(name):
        return what_if(name)

    assert outer("Q") == "Q"
    for function in (what_if, outer):
        store = get_store()
        assert store.lookup(store.entry_place(function.key("Q")), ()).entry is None
