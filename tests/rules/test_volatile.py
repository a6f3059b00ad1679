"""Fields that are volatile: what reads none of them stays when nothing else changes."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet, Sum
from model_bakery import baker

from cache_invalidation import ModelInvalidation, cached, explain, invalidate, registry
from cache_invalidation.explain import explain_sql
from cache_invalidation.observing import tags_read
from tests.checks.reporting import reported
from tests.delivered import delivered
from tests.elsewhere import elsewhere
from tests.rules.test_ignore import TABLE, WAYS, Write, ask_for_triggers, raw_all, save
from tests.testapp.models import Category, Place, Product, Restaurant, Review

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


class StockChanges(ModelInvalidation):
    volatile = ["stock"]


class Tracked(ModelInvalidation):
    volatile = ["stock", "category"]
    track = ["category"]


@pytest.fixture(params=["default", "sqlite"])
def using(request: Any) -> str:
    return str(request.param)


@pytest.fixture(params=[StockChanges, Tracked])
def rule(request: Any) -> Iterator[type[ModelInvalidation]]:
    with registry.override(Product, request.param):
        yield request.param


@pytest.fixture
def product(using: str) -> Product:
    category = baker.make(Category, name="c", _using=using)
    baker.make(Product, name="z", slug="z", stock=7, category=category, _using=using)
    made: Product = baker.make(
        Product, name="a", slug="a", stock=1, category=category, _using=using
    )
    baker.make(Review, product=made, text="good", rating=5, _using=using)
    return Product.objects.using(using).get(pk=made.pk)


Read = Callable[[QuerySet[Product], Product], Any]


def _reviews(rows: QuerySet[Product]) -> QuerySet[Review]:
    return Review.objects.using(rows.db)


# What reads the stock, in whatever way; and what does not.
READS_STOCK: dict[str, Read] = {
    "a row": lambda rows, product: rows.get(pk=product.pk).stock,
    "a list": lambda rows, product: [each.stock for each in rows.order_by("pk")],
    "values": lambda rows, product: list(rows.order_by("pk").values_list("name", "stock")),
    "only": lambda rows, product: rows.only("stock").get(pk=product.pk).stock,
    "a deferred field": lambda rows, product: rows.defer("stock").get(pk=product.pk).stock,
    "a condition": lambda rows, product: sorted(rows.filter(stock__gt=5).values_list("name")),
    "a condition with OR": lambda rows, product: rows.filter(Q(stock=9) | Q(pk=0)).count(),
    "exists": lambda rows, product: rows.filter(pk=product.pk, stock=9).exists(),
    "an order": lambda rows, product: list(rows.order_by("-stock").values_list("name")),
    "an aggregate": lambda rows, product: rows.aggregate(Sum("stock"), Max("pk")),
    "groups": lambda rows, product: sorted(rows.values_list("stock").annotate(Count("pk"))),
    "an expression": lambda rows, product: list(
        rows.order_by("pk").annotate(x=F("stock") + 1).values_list("x")
    ),
    "a join": lambda rows, product: list(_reviews(rows).values_list("text", "product__stock")),
    "select_related": lambda rows, product: [
        each.product.stock for each in _reviews(rows).select_related("product")
    ],
    "a condition on a join": lambda rows, product: _reviews(rows).filter(product__stock=9).count(),
    "a sub-query": lambda rows, product: (
        _reviews(rows)
        .filter(Exists(Product.objects.filter(pk=OuterRef("product"), stock=9)))
        .count()
    ),
    "raw SQL": lambda rows, product: [
        each.stock for each in rows.raw(f"SELECT * FROM {TABLE} ORDER BY id")
    ],
    "raw SQL in another case": lambda rows, product: _sql(
        rows, f"SELECT STOCK FROM {TABLE} ORDER BY id"
    ),
    "a star of one table": lambda rows, product: _sql(
        rows, f"SELECT p.* FROM {TABLE} p ORDER BY p.id"
    )[-1][-1],
    "a union": lambda rows, product: sorted(
        rows.values_list("stock").union(_reviews(rows).values_list("rating"))
    ),
}
READS_OTHERS: dict[str, Read] = {
    "values": lambda rows, product: list(rows.order_by("pk").values_list("name")),
    "values of a row": lambda rows, product: rows.values("name", "slug").get(pk=product.pk),
    "only": lambda rows, product: [each.name for each in rows.only("name").order_by("pk")],
    "defer": lambda rows, product: rows.defer("stock").get(pk=product.pk).name,
    "a count": lambda rows, product: rows.count(),
    "exists": lambda rows, product: rows.filter(pk=product.pk).exists(),
    "an aggregate": lambda rows, product: rows.aggregate(Max("price"), n=Count("*")),
    "an order": lambda rows, product: list(rows.order_by("slug").values_list("name")),
    "a join": lambda rows, product: list(_reviews(rows).values_list("text", "product__name")),
    "select_related": lambda rows, product: [
        each.product.name
        for each in _reviews(rows).select_related("product").only("text", "product__name")
    ],
    "a sub-query": lambda rows, product: (
        _reviews(rows).filter(product__in=Product.objects.filter(name="a").values("pk")).count()
    ),
    "raw SQL as Django writes it": lambda rows, product: _sql(
        rows, f'SELECT name FROM "{TABLE}" ORDER BY id'
    ),
}


def _sql(rows: QuerySet[Product], sql: str) -> list[Any]:
    with connections[rows.db].cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


class Shown:
    """Reads that are cached, each by a function of its own, and how often it was computed."""

    def __init__(self, reads: dict[str, Read], product: Product) -> None:
        self.computed: dict[str, int] = dict.fromkeys(reads, 0)
        rows = Product.objects.using(str(product._state.db))
        self._read = {name: partial(read, rows, product) for name, read in reads.items()}
        self.cached = {
            name: cached(name=f"volatile: {name} of {len(reads)}")(self._counted(name))
            for name in reads
        }

    def _counted(self, name: str) -> Callable[[str, int], Any]:
        def compute(using: str, pk: int) -> Any:
            self.computed[name] += 1
            return self._read[name]()

        return compute

    def values(self, product: Product) -> dict[str, Any]:
        return {
            name: function(str(product._state.db), product.pk)
            for name, function in self.cached.items()
        }

    def now(self) -> dict[str, Any]:
        return {name: read() for name, read in self._read.items()}


@pytest.mark.parametrize("write", WAYS)
@pytest.mark.parametrize("atomic", [False, True])
def test_what_reads_no_volatile_field_stays(
    product: Product, using: str, rule: Any, write: Write, atomic: bool
) -> None:
    unread = dict(READS_OTHERS)
    if rule is Tracked:
        del unread["defer"]  # It reads the category.
    stock, others = Shown(READS_STOCK, product), Shown(unread, product)
    for shown in (stock, others):
        shown.values(product)
        shown.values(product)
        assert set(shown.computed.values()) == {1}
    ask_for_triggers(using)
    if atomic:
        with transaction.atomic(using=using):
            write(product, using, "stock", 9)
            assert stock.values(product) == stock.now()
            assert others.values(product) == others.now()
    else:
        write(product, using, "stock", 9)
    assert stock.values(product) == stock.now()
    assert others.values(product) == others.now()
    assert set(others.computed.values()) == {1}
    assert {name for name, times in stock.computed.items() if times == 1} == set()


@pytest.mark.parametrize("write", WAYS)
def test_whatever_changes_another_field_drops_both(
    product: Product, using: str, rule: Any, write: Write
) -> None:
    reads = {**{f"stock: {name}": read for name, read in READS_STOCK.items()}, **READS_OTHERS}
    shown = Shown(reads, product)
    shown.values(product)
    write(product, using, "name", "b")
    assert shown.values(product) == shown.now()
    write(product, using, "slug", "c")
    assert shown.values(product) == shown.now()
    product.stock = 4
    product.name = "both"
    product.save(using=using)
    assert shown.values(product) == shown.now()
    Product.objects.using(using).create(name="new")
    assert shown.values(product) == shown.now()


def test_what_is_dropped_and_what_it_is_called(product: Product, using: str) -> None:
    ask_for_triggers(using)
    row = f"testapp.product:{product.pk}"
    family = f"testapp.product.category_id:{product.category_id}"
    with registry.override(Product, Tracked):
        with delivered() as found:
            save(product, using, "stock", 2)
        assert found.tags == {
            "testapp.product+volatile",
            row.replace("product:", "product+volatile:"),
            family.replace("_id:", "_id+volatile:"),
        }
        with delivered() as found:
            raw_all(product, using, "stock", 3)
        assert found.tags == {
            "testapp.product+volatile",
            "testapp.product+volatile:*",
            "testapp.product.category_id+volatile:*",
        }
        with delivered() as found:
            product.stock, product.name = 4, "b"
            product.save()
        assert found.tags == {"testapp.product", row, family}


def test_who_is_told_by_name_is_told_of_volatile_fields(product: Product, using: str) -> None:
    @cached(name="volatile: by name", tags=[Product])
    def named() -> int:
        return int(Product.objects.using(using).aggregate(n=Sum("stock"))["n"])

    @cached(name="volatile: by row", tags=["testapp.product:{pk}"])
    def row(pk: int) -> int:
        return Product.objects.using(using).get(pk=pk).stock

    with registry.override(Product, StockChanges):
        assert (named(), row(product.pk)) == (8, 1)
        save(product, using, "stock", 2)
        assert (named(), row(product.pk)) == (9, 2)
    # Without the rule, the same functions go on.
    save(product, using, "stock", 3)
    assert (named(), row(product.pk)) == (10, 3)


def test_a_rule_that_comes_later_counts_for_calls_that_were_made_before(
    product: Product, using: str
) -> None:
    @cached(name="volatile: called before", tags=["testapp.product:{pk}"])
    def row(pk: int) -> int:
        return Product.objects.using(using).get(pk=pk).stock

    assert row(product.pk) == 1
    with registry.override(Product, StockChanges):
        assert row(product.pk) == 1
        save(product, using, "stock", 2)
        assert row(product.pk) == 2


def test_what_is_invalidated_by_hand_goes_whatever_it_reads(product: Product, using: str) -> None:
    others = Shown(READS_OTHERS, product)
    with registry.override(Product, StockChanges):
        targets: tuple[Any, ...] = (Product, product)
        for number, target in enumerate(targets, start=1):
            others.values(product)
            before = dict(others.computed)
            invalidate(target)
            others.values(product)
            assert others.computed["values of a row"] == before["values of a row"] + 1, number


def test_with_a_field_that_is_ignored_the_rest_counts(product: Product, using: str) -> None:
    class Both(ModelInvalidation):
        volatile = ["stock"]
        ignore = ["price"]

    ask_for_triggers(using)
    others = Shown({"values": READS_OTHERS["values"]}, product)
    with registry.override(Product, Both):
        others.values(product)
        with delivered() as found:
            product.stock, product.price = 5, 5
            product.save()
        assert found.tags == {"testapp.product+volatile", f"testapp.product+volatile:{product.pk}"}
        with delivered() as found:
            product.price = 6
            product.save()
        assert found == []
        others.values(product)
    assert others.computed == {"values": 1}


def test_two_rules_name_volatile_fields_together(product: Product, using: str) -> None:
    class Prices(ModelInvalidation):
        volatile = ["price"]
        tags = ["prices"]

    ask_for_triggers(using)
    with registry.override(Product, StockChanges, Prices):
        with delivered() as found:
            product.stock, product.price = 5, 5
            product.save()
        assert found.tags == {
            "testapp.product+volatile",
            f"testapp.product+volatile:{product.pk}",
            "prices",
        }


def test_a_multi_table_child_goes_with_its_own_fields(using: str) -> None:
    class Names(ModelInvalidation):
        volatile = ["name"]

    ask_for_triggers(using)
    child = Restaurant.objects.using(using).create(name="r")
    computed: list[str] = []

    @cached(name="volatile: of a place")
    def place(pk: int) -> Any:
        computed.append("place")
        return Place.objects.using(using).values_list("pk").get(pk=pk)

    @cached(name="volatile: names of places")
    def names() -> Any:
        computed.append("names")
        return sorted(Place.objects.using(using).values_list("name"))

    @cached(name="volatile: names of restaurants")
    def names_of_restaurants() -> Any:
        computed.append("restaurants")
        return sorted(Restaurant.objects.using(using).values_list("name"))

    reads: list[Callable[[], Any]] = [lambda: place(child.pk), names, names_of_restaurants]
    with registry.override(Place, Names):
        for read in reads:
            read()
        computed.clear()
        child.name = "s"
        child.save()
        assert [read() for read in reads] == [(child.pk,), [("s",)], [("s",)]]
        assert "names" in computed
        assert "restaurants" in computed
        computed.clear()
        Place.objects.using(using).filter(pk=child.pk).update(name="t")
        assert [read() for read in reads] == [(child.pk,), [("t",)], [("t",)]]
        assert "place" not in computed


def test_while_it_is_written_others_are_not_stored(product: Product, using: str) -> None:
    if using == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    with registry.override(Product, StockChanges):
        stock = Shown({"a list": READS_STOCK["a list"]}, product)
        with transaction.atomic(using=using):
            save(product, using, "stock", 5)
            elsewhere(lambda: stock.values(product))
        assert stock.values(product) == stock.now()


def test_a_save_that_names_its_fields_costs_no_query(product: Product, using: str) -> None:
    with registry.override(Product, StockChanges):
        assert registry.plan(Product).is_told_by(frozenset({"stock"}))
        assert not registry.plan(Product).is_told_by(frozenset({"stock", "name"}))
    with registry.override(Product, Tracked):
        assert not registry.plan(Product).is_told_by(frozenset({"stock"}))


def test_explain_says_what_stays_and_why(product: Product, using: str) -> None:
    ask_for_triggers(using)
    with registry.override(Product, StockChanges):
        product.stock = 12
        text = str(explain(product))
        assert f"tag     testapp.product+volatile:{product.pk}" in text
        assert f"stays   testapp.product:{product.pk}" in text
        assert "what reads none of stock stays, since nothing else changes" in text
        sql = f"SELECT name, stock FROM {TABLE}"
        assert explain_sql(sql, using=using).reads == (
            "testapp.product",
            "testapp.product+volatile",
        )
        sql = f'SELECT name FROM "{TABLE}"'
        assert explain_sql(sql, using=using).reads == ("testapp.product",)


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ("nothing", "volatile names 'nothing', but testapp.Product has no such field."),
        ("id", "volatile names 'id', but testapp.Product.id is the primary key."),
        ("tags", "volatile names 'tags', but testapp.Product.tags has no column."),
    ],
)
def test_e008_what_cannot_be_volatile(named: str, problem: str) -> None:
    with registry.override(Product, type("Rule", (ModelInvalidation,), {"volatile": [named]})):
        (found,) = reported()
    assert (found.id, found.msg) == ("cache_invalidation.E008", problem)
    assert found.hint


def test_it_is_found_if_what_is_read_is_not_looked_at(
    product: Product, using: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests above can fail."""
    monkeypatch.setattr(tags_read, "reads_volatile", lambda statement, model: False)
    ask_for_triggers(using)
    stock = Shown({"values": READS_STOCK["values"]}, product)
    with registry.override(Product, StockChanges):
        stock.values(product)
        save(product, using, "stock", 9)
        assert stock.values(product) != stock.now()
