"""The statements of Django's ORM: recognised without a parser, and as the parser sees them."""

from typing import cast

import pytest
from django.apps import apps
from django.db import connections, transaction
from django.db.models import Case, Count, F, OuterRef, Q, Subquery, Value, When

from cache_invalidation.sql import Dialect
from cache_invalidation.sql.lexer import tokenize
from cache_invalidation.sql.names import Names
from cache_invalidation.sql.parsed import analyze_parsed
from cache_invalidation.sql.plain import NotPlainError, analyze_plain
from tests.testapp.models import Author, Book, Category, Counter, Product, Restaurant, Review, Tag

pytestmark = pytest.mark.django_db(databases=["default", "sqlite"])

NAMES = Names(
    frozenset(model._meta.db_table for model in apps.get_models(include_auto_created=True))
)


def work(using: str) -> None:
    """Read and write in as many ways as the ORM has."""
    category = Category.objects.using(using).create(name="a")
    products = Product.objects.using(using)
    product = products.create(name="a", category=category)
    tag = Tag.objects.using(using).create(name="t")
    product.name = "b"
    product.save()
    product.save(update_fields=["stock"])
    products.bulk_create([Product(name=str(n), category=category) for n in range(3)])
    Tag.objects.using(using).bulk_create([Tag(id=100 + n, name="x") for n in range(3)])
    Counter.objects.using(using).bulk_create([Counter(name="x")], ignore_conflicts=True)
    Counter.objects.using(using).bulk_create(
        [Counter(name="x", value=3)],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["value"],
    )
    products.bulk_update(list(products.all()), ["stock", "slug"])
    products.filter(stock__gt=1).update(stock=F("stock") + 1)
    products.filter(category__name="a").update(stock=3)
    products.filter(pk__in=[1, 2]).update(stock=Case(When(name="a", then=Value(1)), default=2))
    newest = Review.objects.using(using).filter(product=OuterRef("pk")).values("rating")[:1]
    list(products.annotate(rating=Subquery(newest)))
    list(products.select_related("category", "featured_in").prefetch_related("tags", "reviews"))
    list(products.filter(Q(stock=1) | Q(name="a"), ~Q(slug="x")).order_by("name")[:5])
    list(products.filter(tags__name="t", category__name="a").distinct())
    list(products.filter(category__featured_products__name="a").values_list("pk"))
    list(products.filter(pk__in=Review.objects.using(using).values("product")))
    list(products.exclude(reviews__rating=1).only("name"))
    list(products.filter(stock=1).union(products.filter(stock=2)))
    list(Category.objects.using(using).annotate(n=Count("products")).filter(n__gt=0))
    products.filter(name="a").exists()
    products.count()
    products.aggregate(Count("category", distinct=True))
    products.in_bulk([1, 2, 3])
    products.get_or_create(name="zzz")
    products.update_or_create(name="zzz", defaults={"stock": 1})
    with transaction.atomic(using):
        list(products.select_for_update().filter(pk=product.pk))
    product.tags.add(tag)
    product.tags.set([])
    product.tags.add(tag)
    product.tags.clear()
    Review.objects.using(using).create(product=product)
    book = Book.objects.using(using).create(title="t")
    book.authors.add(Author.objects.using(using).create(name="n"))
    restaurant = Restaurant.objects.using(using).create(name="r")
    restaurant.city = "c"
    restaurant.save()
    restaurant.delete()
    product.delete()
    products.filter(category__name="a")._raw_delete(using)
    category.delete()
    Tag.objects.using(using).all().delete()


def capture(using: str) -> list[str]:
    statements: dict[str, None] = {}

    def record(execute, sql, params, many, context):
        statements[str(sql)] = None
        return execute(sql, params, many, context)

    with connections[using].execute_wrapper(record):
        work(using)
    return list(statements)


@pytest.mark.parametrize("using", ["default", "sqlite"])
def test_the_plain_forms_are_what_the_parser_sees(using: str) -> None:
    dialect = cast(Dialect, connections[using].vendor)
    statements = capture(using)
    plain = 0
    for sql in statements:
        tokens = tokenize(sql, dialect)
        if tokens[0] in ("SAVEPOINT", "RELEASE"):
            continue
        try:
            recognised = analyze_plain(tokens, NAMES)
        except NotPlainError:
            continue
        plain += 1
        parsed = analyze_parsed(tokens, dialect, NAMES)
        assert recognised.tables_read == parsed.tables_read, sql
        assert recognised.may_write == parsed.may_write, sql
        # The parser need not know that UNNEST makes rows of arrays.
        if "UNNEST" not in tokens:
            assert recognised.writes == parsed.writes, sql
        # Of a query in a query only the tables are told without the parser.
        if tokens[0] == "SELECT" and tokens.count("SELECT") == 1:
            assert set(recognised.reads) == set(parsed.reads), sql
    assert len(statements) > 50
    assert plain >= 0.95 * len([s for s in statements if "SAVEPOINT" not in s]), plain
