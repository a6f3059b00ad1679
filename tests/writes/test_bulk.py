"""`QuerySet.update` under a rule that looks at other columns than those in the statement."""

import pytest
from django.core.exceptions import FieldDoesNotExist
from django.db import (
    IntegrityError,
    NotSupportedError,
    connection,
    connections,
    models,
    transaction,
)
from django.db.models import F, Q, Value
from django.db.models.functions import Concat, Lower, Now
from django.test.utils import CaptureQueriesContext

from cache_invalidation import ModelInvalidation, cached, registry
from tests.elsewhere import elsewhere
from tests.ruled import ByCategory, ByName, in_force
from tests.testapp.models import Category, Place, Product, Restaurant, Review
from tests.testapp.unusual import Generated, Mail

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

ALL = {"category:*"}


rule = in_force({Product: ByCategory})


@pytest.fixture
def shop(using, deliveries):
    """Two categories with two products each; returns the products."""
    found = []
    for name in "AB":
        category = Category.objects.using(using).create(name=name)
        for number in range(2):
            name = f"{name[0]}{number}"
            found.append(Product.objects.using(using).create(name=name, category=category))
    deliveries.clear()
    return found


@pytest.fixture
def rows(using):
    return Product.objects.using(using)


def tags(*products):
    return {f"category:{product.category_id}" for product in products}


@pytest.mark.parametrize("is_atomic", [False, True], ids=["autocommit", "atomic"])
def test_the_old_and_the_new_values_of_the_rows_are_named(rows, shop, deliveries, using, is_atomic):
    third = Category.objects.using(using).create(name="C")
    steps = [
        (lambda: rows.filter(name="A0").update(stock=1), tags(shop[0])),
        (lambda: rows.filter(name="A0").update(stock=F("stock") + 1), tags(shop[0])),
        (
            lambda: rows.filter(name="A0").update(category=third),
            {*tags(shop[0]), f"category:{third.pk}"},
        ),
        (
            lambda: rows.filter(name="A0").update(category=shop[2].category_id),
            {*tags(shop[2]), f"category:{third.pk}"},
        ),
        (
            lambda: rows.filter(name="A0").update(category_id=None),
            {*tags(shop[2]), "category:None"},
        ),
        (lambda: rows.filter(category=None).update(category=F("featured_in")), {"category:None"}),
        (lambda: rows.update(stock=3), {*tags(*shop), "category:None"}),
    ]
    for number, (update, expected) in enumerate(steps):
        deliveries.clear()
        if is_atomic:
            with transaction.atomic(using=using):
                assert update() > 0
        else:
            assert update() > 0
        assert deliveries.family("category") == expected, number
        assert {"testapp.product"} < deliveries.tags


def test_what_finds_no_row_invalidates_nothing(rows, shop, deliveries):
    assert rows.filter(name="nobody").update(stock=1) == 0
    assert rows.none().update(stock=1) == 0
    assert deliveries == []


def test_querysets_of_every_kind_name_their_rows(rows, shop, deliveries, using):
    product = shop[0]
    querysets = [
        rows.filter(pk=product.pk),
        rows.filter(name="A0").order_by("-name"),
        rows.filter(name="A0").select_related("category"),
        rows.filter(name="A0").prefetch_related("tags"),
        rows.filter(name="A0").defer("name"),
        rows.filter(name="A0").only("name"),
        rows.filter(name="A0").select_for_update()
        if using == "default"
        else rows.filter(name="A0"),
        rows.filter(Q(name="A0") | Q(name="never"), ~Q(name="B0")),
        rows.filter(name__in=["A0"]),
        rows.filter(name__iexact="a0"),
        rows.exclude(name__in=["A1", "B0", "B1"]),
        rows.filter(created__year__gt=2000, name="A0"),
        product.category.products.filter(name="A0"),
    ]
    for queryset in querysets:
        deliveries.clear()
        assert queryset.update(stock=1) == 1
        assert deliveries.family("category") == tags(product), queryset.query
        assert f"testapp.product:{product.pk}" in deliveries.tags


def test_rows_that_something_else_decides_on_are_any_rows(rows, shop, deliveries, using):
    review = Review.objects.using(using).create(product=shop[0])
    named = rows.filter(name="A0")
    querysets = [
        rows.filter(category__name="A", name="A0"),
        rows.filter(reviews=review),
        rows.filter(pk__in=named),
        rows.filter(pk__in=Review.objects.using(using).values("product")),
        rows.filter(
            models.Exists(Review.objects.using(using).filter(product=models.OuterRef("pk")))
        ),
        rows.filter(created__lt=Now(), name="A0"),
        named.annotate(x=F("stock") + 1),
        named.alias(x=F("stock") + 1),
        named.extra(where=["stock = 0"]),
        rows.annotate(low=Lower("name")).filter(low="a0"),
    ]
    for queryset in querysets:
        deliveries.clear()
        assert queryset.update(stock=0) == 1
        assert deliveries.family("category") == ALL, queryset.query
        assert "testapp.product:*" in deliveries.tags


def test_what_django_refuses_is_refused_with_the_same_words(rows, shop):
    with pytest.raises(TypeError, match="slice"):
        rows.all()[:1].update(stock=1)
    for name in ("no_such", "queryset", "update"):
        with pytest.raises(FieldDoesNotExist, match=name):
            rows.update(**{name: 1})
    with pytest.raises(NotSupportedError, match="union"):
        rows.union(rows).update(stock=1)
    with pytest.raises(ValueError, match="expected a number"):
        rows.update(stock="many")
    assert rows.filter(stock=0).count() == 4


def test_a_queryset_of_values_updates_its_rows(rows, shop, deliveries):
    assert rows.filter(name="A0").values("name").update(stock=1) == 1
    assert deliveries.family("category") in (ALL, tags(shop[0]))


@pytest.mark.parametrize(("limit", "is_exact"), [(4, True), (3, False)])
def test_more_rows_than_the_limit_are_any_rows(rows, shop, deliveries, settings, limit, is_exact):
    settings.CACHE_INVALIDATION = {"ROW_TAG_LIMIT": limit}
    assert rows.update(stock=1) == 4
    assert deliveries.family("category") == (tags(*shop) if is_exact else ALL)


def test_a_key_that_is_assigned_leaves_nothing_stale(rows, shop, deliveries):
    number = shop[0].pk + 1000
    assert rows.filter(name="A0").update(id=number) == 1
    assert deliveries.family("category") == ALL
    assert "testapp.product:*" in deliveries.tags
    assert rows.get(name="A0").pk == number


@pytest.mark.parametrize(
    ("values", "number"),
    [({"stock": 1}, 2), ({"stock": F("stock") + 1}, 3), ({"name": Concat("name", Value("!"))}, 3)],
    ids=["literal", "F", "function"],
)
def test_it_takes_one_query_before_and_one_after_if_only_the_database_knows(shop, values, number):
    """Besides the update itself; on SQLite another one takes the lock."""
    for using in ("default", "sqlite"):
        with (
            transaction.atomic(using=using),
            CaptureQueriesContext(connections[using]) as captured,
        ):
            Product.objects.using(using).update(**values)
        locking = [q for q in captured.captured_queries if "1 = 0" in q["sql"]]
        sent = [q for q in captured.captured_queries if "SAVEPOINT" not in q["sql"]]
        assert len(sent) - len(locking) <= number
    with transaction.atomic(), CaptureQueriesContext(connection) as captured:
        Category.objects.update(name="x")
    assert len(captured) == 1, "no rule looks at categories"


def test_rows_that_others_add_meanwhile_are_noticed():
    if connection.vendor == "sqlite":
        pytest.skip("locks the whole database")
    a, b = (Category.objects.create(name=name) for name in "AB")
    Product.objects.create(name="P", category=a)
    added: list[object] = []

    @cached(tags=["category:{pk}"], name="added meanwhile")
    def page(pk):
        return sorted(Product.objects.filter(category_id=pk).values_list("name", flat=True))

    def add_first(execute, sql, params, many, context):
        if sql.startswith("UPDATE") and not added:
            elsewhere(lambda: Product.objects.create(name="P", category=b))
            added.append(elsewhere(lambda: page(b.pk)))
        return execute(sql, params, many, context)

    assert (page(a.pk), page(b.pk)) == (["P"], [])
    with connection.execute_wrapper(add_first):
        assert Product.objects.filter(name="P").update(name="Q") == 2
    assert added == [["P"]]
    assert (page(a.pk), page(b.pk)) == (["Q"], ["Q"])


def test_a_condition_that_finds_another_row_each_time_leaves_nothing_stale():
    if connection.vendor == "sqlite":
        pytest.skip("has no sequences")
    categories = [Category.objects.create(name=name) for name in "ABC"]
    for number in (1, 2):
        Product(pk=number, name=f"{number}", category=categories[number]).save(force_insert=True)

    @cached(tags=["category:{pk}"], name="another row each time")
    def page(pk):
        return sorted(Product.objects.filter(category_id=pk).values_list("name", flat=True))

    for category in categories:
        page(category.pk)
    with connection.cursor() as cursor:
        cursor.execute("CREATE SEQUENCE another")
    try:
        rows = Product.objects.extra(where=["testapp_product.id = (SELECT nextval('another'))"])
        assert rows.update(category=categories[0]) == 1
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP SEQUENCE another")
    for category in categories:
        assert page(category.pk) == page.uncached(category.pk)


def test_an_update_of_a_child_names_the_rows_of_its_parents(using, deliveries):
    with registry.override(Place, ByName):
        place = Restaurant.objects.using(using).create(name="old", cuisine="thai")
        Restaurant.objects.using(using).create(name="other")
        rows = Restaurant.objects.using(using).filter(cuisine="thai")
        deliveries.clear()
        assert rows.update(name="new") == 1
        assert deliveries.family("name") == {"name:old", "name:new"}
        deliveries.clear()
        assert rows.update(name=Concat("name", Value("er")), cuisine="fish") == 1
        assert deliveries.family("name") == {"name:new", "name:newer"}
        assert {f"testapp.place:{place.pk}", f"testapp.restaurant:{place.pk}"} < deliveries.tags


def test_columns_that_only_the_database_knows_are_read_back(using, deliveries):
    class Doubled(ModelInvalidation):
        tags = ["double:{double}"]

    class Address(ModelInvalidation):
        tags = ["address:{address}"]

    with registry.override(Generated, Doubled), registry.override(Mail, Address):
        Generated.objects.using(using).create(number=1)
        Mail.objects.using(using).create(address="A@B")
        deliveries.clear()
        Generated.objects.using(using).update(number=5)
        Mail.objects.using(using).update(address="C@D")
        assert deliveries.family("double") == {"double:2", "double:10"}
        assert deliveries.family("address") == {"address:a@b", "address:c@d"}


def test_a_failing_update_leaves_everything_as_it_was(rows, shop, using, deliveries):
    @cached(name=f"stocks {using}")
    def stocks():
        return list(rows.order_by("name").values_list("stock", flat=True))

    assert stocks() == [0] * 4
    with pytest.raises(IntegrityError), transaction.atomic(using=using):
        rows.update(stock=1)
        rows.filter(name="A0").update(name=None)
    assert deliveries == []
    assert stocks() == [0] * 4
    with transaction.atomic(using=using):
        with pytest.raises(IntegrityError), transaction.atomic(using=using):
            rows.update(name=None)
        rows.filter(name="A0").update(stock=1)
    assert stocks() == [1, 0, 0, 0]


def test_rows_that_cannot_be_read_are_updated_all_the_same(rows, shop, using, deliveries):
    with connections[using].cursor() as cursor:
        cursor.execute("ALTER TABLE testapp_product RENAME COLUMN slug TO was_slug")
    deliveries.clear()
    try:
        with transaction.atomic(using=using):
            assert rows.filter(name="A0").update(stock=1) == 1
            assert Category.objects.using(using).count() == 2
    finally:
        with connections[using].cursor() as cursor:
            cursor.execute("ALTER TABLE testapp_product RENAME COLUMN was_slug TO slug")
    assert "category:*" in deliveries[0].tags
