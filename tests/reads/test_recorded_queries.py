"""However a function reads, its value is what would be read, whatever was written meanwhile."""

import pytest
from django.db import connections
from django.db.models import Count, Exists, Max, OuterRef, Prefetch, Sum

from cache_invalidation import cached
from tests.testapp.models import Category, Product, Restaurant, Review, Tag

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shop():
    category = Category.objects.create(name="A")
    product = Product.objects.create(name="P", category=category, stock=1)
    product.tags.add(Tag.objects.create(name="T"))
    Review.objects.create(product=product, text="R", rating=3)
    return product


def sql(text, using="default"):
    with connections[using].cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchall()


def rows():
    return Product.objects.order_by("pk")


READS = {
    "get": lambda pk: Product.objects.get(pk=pk).name,
    "values": lambda pk: list(rows().values("name", "category__name")),
    "select_related": lambda pk: [each.category.name for each in rows().select_related("category")],
    "prefetch_related": lambda pk: [
        [tag.name for tag in each.tags.all()] for each in rows().prefetch_related("tags")
    ],
    "prefetch": lambda pk: [
        [review.text for review in each.good]
        for each in rows().prefetch_related(
            Prefetch("reviews", Review.objects.filter(rating__gt=2), to_attr="good")
        )
    ],
    "lazy relation": lambda pk: str(Product.objects.get(pk=pk).category),
    "reverse relation": lambda pk: list(
        Category.objects.get(name="A").products.values_list("name", flat=True)
    ),
    "aggregate": lambda pk: Product.objects.aggregate(
        total=Sum("stock"), most=Max("reviews__rating")
    ),
    "annotate": lambda pk: list(Category.objects.annotate(n=Count("products")).values_list("n")),
    "count": lambda pk: (Product.objects.count(), Tag.objects.filter(products=pk).count()),
    "exists": lambda pk: Product.objects.filter(stock__gt=5).exists(),
    "sub-query": lambda pk: list(
        Category.objects.filter(
            Exists(Product.objects.filter(category=OuterRef("pk"), stock=1))
        ).values_list("name")
    ),
    "in": lambda pk: list(
        Review.objects.filter(product__in=Product.objects.filter(name="P")).values_list("text")
    ),
    "union": lambda pk: sorted(
        Product.objects.values_list("name").union(Tag.objects.values_list("name"))
    ),
    "in_bulk": lambda pk: sorted(each.name for each in Product.objects.in_bulk().values()),
    "dates": lambda pk: list(Product.objects.values_list("stock", flat=True).distinct()),
    "raw": lambda pk: [each.name for each in Product.objects.raw("SELECT * FROM testapp_product")],
    "cursor": lambda pk: sql("SELECT name FROM testapp_product ORDER BY id"),
    "with": lambda pk: sql("WITH x AS (SELECT name FROM testapp_product) SELECT * FROM x"),
    "iterator": lambda pk: [each.name for each in rows().iterator(chunk_size=1)],
    "first": lambda pk: rows().filter(stock=1).values_list("name", flat=True).first(),
    "latest": lambda pk: Product.objects.latest("pk").name,
    "earliest by name": lambda pk: Product.objects.earliest("name").name,
    "refresh": lambda pk: refreshed(pk).name,
    "deferred": lambda pk: Product.objects.only("pk").get(pk=pk).name,
    "contains": lambda pk: Product.objects.filter(stock=1).contains(Product(pk=pk)),
    "child": lambda pk: list(Restaurant.objects.values_list("name", flat=True)),
    "empty": lambda pk: list(Product.objects.filter(name="nobody").values_list("pk")),
    "nobody": lambda pk: Product.objects.filter(pk=pk + 1).first(),
}

WRITES = {
    "name": lambda p: Product.objects.filter(pk=p.pk).update(name="Q"),
    "stock": lambda p: sql("UPDATE testapp_product SET stock = 9 RETURNING id"),
    "category": lambda p: Category.objects.update(name="B"),
    "new": lambda p: Product.objects.bulk_create([Product(pk=p.pk + 1, name="nobody")]),
    "tag": lambda p: p.tags.clear(),
    "tag name": lambda p: Tag.objects.update(name="U"),
    "review": lambda p: Review.objects.update(text="S", rating=5),
    "place": lambda p: Restaurant.objects.create(name="new"),
    "all": lambda p: Product.objects.all().delete(),
}


def refreshed(pk):
    product = Product(pk=pk)
    product.refresh_from_db()
    return product


@pytest.mark.parametrize("name", READS)
def test_whatever_is_written_a_value_is_what_would_be_read(shop, name):
    def read(pk):
        try:
            return READS[name](pk)
        except (Product.DoesNotExist, Category.DoesNotExist, AttributeError) as error:
            return type(error).__name__

    value = cached(name=f"recorded {name}")(read)
    changed = 0
    for write in WRITES.values():
        before = value(shop.pk)
        assert value(shop.pk) == before
        write(shop)
        assert value(shop.pk) == read(shop.pk)
        changed += value(shop.pk) != before
    assert changed, "no write concerns it, so this proves nothing"
