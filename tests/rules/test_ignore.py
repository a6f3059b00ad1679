"""Fields that a rule ignores: which writes are no change, and who gets what is old then."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.core.checks import Error, Warning
from django.db import connections, models, transaction
from django.db.models import F
from model_bakery import baker

from cache_invalidation import ModelInvalidation, Tag, cached, explain, invalidate, registry
from cache_invalidation.explain import explain_sql
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from cache_invalidation.observing import relations
from cache_invalidation.rules.differences import _is_same
from cache_invalidation.rules.templates import as_stored
from cache_invalidation.testing import override_rules
from tests.checks.reporting import reported
from tests.cursors import execute
from tests.delivered import delivered
from tests.testapp.models import Category, Place, Product, ProductProxy, Restaurant

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

TABLE = "testapp_product"


class IgnoresStock(ModelInvalidation):
    ignore = ["stock"]
    tags = ["menu"]
    keys = ["product:{pk}"]
    track = ["category"]


class Online(ModelInvalidation):
    """A second rule, for those who do wait for it."""

    tags = ["online:{stock}"]
    fields = ["stock"]


def make(**values: Any) -> type[ModelInvalidation]:
    return type("Rule", (ModelInvalidation,), values)


Write = Callable[[Product, str, str, Any], object]


def save(product: Product, using: str, name: str, value: Any) -> None:
    setattr(product, name, value)
    product.save(using=using)


def save_fields(product: Product, using: str, name: str, value: Any) -> None:
    setattr(product, name, value)
    product.save(using=using, update_fields=[name])


def save_deferred(product: Product, using: str, name: str, value: Any) -> None:
    deferred = Product.objects.using(using).only("pk", name).get(pk=product.pk)
    setattr(deferred, name, value)
    deferred.save()


def save_proxy(product: Product, using: str, name: str, value: Any) -> None:
    proxy = ProductProxy.objects.using(using).get(pk=product.pk)
    setattr(proxy, name, value)
    proxy.save()


def update(product: Product, using: str, name: str, value: Any) -> None:
    Product.objects.using(using).filter(pk=product.pk).update(**{name: value})


def update_all(product: Product, using: str, name: str, value: Any) -> None:
    Product.objects.using(using).update(**{name: value})


def bulk_update(product: Product, using: str, name: str, value: Any) -> None:
    setattr(product, name, value)
    Product.objects.using(using).bulk_update([product], [name])


def update_or_create(product: Product, using: str, name: str, value: Any) -> None:
    Product.objects.using(using).update_or_create(pk=product.pk, defaults={name: value})


def raw_row(product: Product, using: str, name: str, value: Any) -> None:
    execute(using, f"UPDATE {TABLE} SET {name} = %s WHERE id = %s", [value, product.pk])


def raw_all(product: Product, using: str, name: str, value: Any) -> None:
    execute(using, f"UPDATE {TABLE} SET {name} = %s", [value])


def raw_qualified(product: Product, using: str, name: str, value: Any) -> None:
    sql = f'UPDATE "{TABLE}" SET "{name.upper() if using == "sqlite" else name}" = %s'
    execute(using, f"{sql} WHERE id IN (SELECT id FROM {TABLE})", [value])


WAYS: list[Write] = [
    save,
    save_fields,
    save_deferred,
    save_proxy,
    update,
    update_all,
    bulk_update,
    update_or_create,
    raw_row,
    raw_all,
    raw_qualified,
]


@pytest.fixture(params=["default", "sqlite"])
def using(request: Any) -> str:
    return str(request.param)


@pytest.fixture
def product(using: str) -> Product:
    made: Product = baker.make(Product, name="a", slug="a", stock=1, _using=using)
    return Product.objects.using(using).get(pk=made.pk)


def ask_for_triggers(using: str) -> None:
    """A connection to SQLite has to have done so before a transaction, or in an earlier one."""
    for model in (Product, Place, Restaurant):
        relations.writes_more(connections[using], model)


@cached(timeout=60, name="ignore.shown")
def shown(pk: int, using: str) -> tuple[str, int]:
    product = Product.objects.using(using).get(pk=pk)
    return product.name, product.stock


@cached(timeout=60, name="ignore.listed")
def listed(using: str) -> list[Any]:
    return list(Product.objects.using(using).values_list("name", "stock"))


@pytest.mark.parametrize("inside", [False, True], ids=["autocommit", "atomic"])
@pytest.mark.parametrize("way", WAYS)
def test_a_write_of_ignored_fields_alone_drops_nothing(way: Write, inside: bool, product, using):
    with registry.override(Product, IgnoresStock), delivered() as found:
        before = shown(product.pk, using), listed(using)
        reset_metrics()
        ask_for_triggers(using)
        if inside:
            with transaction.atomic(using=using):
                way(product, using, "stock", 7)
        else:
            way(product, using, "stock", 7)
        assert found == []
        assert Product.objects.using(using).get(pk=product.pk).stock == 7
        assert (shown(product.pk, using), listed(using)) == before, "which is what was asked for"
        assert read_metrics()["invalidations_by_entity_type"] == {}


@pytest.mark.parametrize("way", WAYS)
def test_a_write_of_another_field_drops_what_shows_the_row(way: Write, product, using):
    with registry.override(Product, IgnoresStock), delivered() as found:
        shown(product.pk, using), listed(using)
        way(product, using, "slug", "b")
        way(product, using, "name", "b")
        assert "testapp.product" in found.tags
        assert "menu" in found.tags
        assert shown(product.pk, using) == ("b", 1)
        assert listed(using) == [("b", 1)]


@pytest.mark.parametrize("way", [save, save_proxy])
def test_a_save_that_changes_both_is_a_change(way: Write, product, using):
    with registry.override(Product, IgnoresStock), delivered() as found:
        product.stock, product.name = 5, "b"
        product.save()
        assert found.tags >= {"menu", f"testapp.product:{product.pk}"}
        found.clear()
        way(product, using, "stock", 6)
        assert found == []
        Product.objects.using(using).filter(pk=product.pk).update(stock=1, name="c")
        assert found.tags >= {"menu", f"testapp.product:{product.pk}"}
        found.clear()
        execute(using, f"UPDATE {TABLE} SET stock = 2, slug = 'x' WHERE name = 'c'")
        assert "menu" in found.tags


def test_sql_that_assigns_what_is_there_already_changes_the_ignored_field_alone(product, using):
    with registry.override(Product, IgnoresStock), delivered() as found:
        sql = f"UPDATE {TABLE} SET stock = 9, name = %s WHERE id = %s"
        execute(using, sql, ["a", product.pk])
        assert found == []
        execute(using, sql, ["b", product.pk])
        assert "menu" in found.tags


@pytest.mark.parametrize(
    "write",
    [
        lambda row, using: Product.objects.using(using).create(name="new"),
        lambda row, using: row.delete(),
        lambda row, using: Product.objects.using(using).all().delete(),
        lambda row, using: invalidate(row),
        lambda row, using: invalidate(Product, using=using),
        lambda row, using: execute(using, f"DELETE FROM {TABLE}"),
        lambda row, using: Product.objects.using(using).bulk_create([Product(name="new")]),
        lambda row, using: Product.objects.using(using).bulk_create(
            [Product(pk=row.pk, name="a")],
            update_conflicts=True,
            update_fields=["stock"],
            unique_fields=["pk"],
        ),
        lambda row, using: Product.objects.using(using).update(id=F("id") + 1000),
    ],
)
def test_what_is_no_update_of_them_is_a_change(write: Any, product, using):
    with registry.override(Product, IgnoresStock), delivered() as found:
        write(product, using)
    assert {"testapp.product", "menu"} <= found.tags


def test_a_field_that_others_have_changed_meanwhile_is_a_change(product, using):
    """The instance is older than its row, and sets it back."""
    with registry.override(Product, IgnoresStock):
        Product.objects.using(using).filter(pk=product.pk).update(name="b")
        assert shown(product.pk, using) == ("b", 1)
        product.stock = 3
        product.save()
        assert shown(product.pk, using) == ("a", 3)


def test_several_rules_each_have_their_own(product, using):
    with registry.override(Product, IgnoresStock, Online), delivered() as found:
        shown(product.pk, using)
        product.stock = 4
        product.save()
        assert found.tags == {"online:1", "online:4"}
        found.clear()
        Product.objects.using(using).filter(pk=product.pk).update(stock=5)
        assert found.tags == {"online:4", "online:5"}
        found.clear()
        execute(using, f"UPDATE {TABLE} SET stock = 6")
        assert found.tags == {"online:*"}
        found.clear()
        product.save(update_fields=["name"])
        assert found == [], "nothing has changed at all"
        product.name = "b"
        product.save(update_fields=["name"])
        assert found.tags >= {"menu", "testapp.product"}
        assert not found.family("online")
        assert shown(product.pk, using) == ("b", 6)


def test_what_the_rules_of_a_model_ignore_goes_together(product, using):
    both = make(ignore=["stock"]), make(ignore=["slug"], tags=["slugs"])
    with registry.override(Product, *both), delivered() as found:
        Product.objects.using(using).filter(pk=product.pk).update(stock=2)
        assert found.tags == {"slugs"}
        found.clear()
        product.refresh_from_db()
        product.slug = "other"
        product.save()
        assert found == []
        Product.objects.using(using).filter(pk=product.pk).update(stock=3, slug="third")
        assert found.tags == {"slugs"}
    with (
        registry.override(Product, make(ignore=["stock"])),
        registry.override(ProductProxy, make(tags=["proxies"])),
        delivered() as found,
    ):
        Product.objects.using(using).filter(pk=product.pk).update(stock=8)
        assert found.tags == {"proxies"}


def test_tables_of_parents_and_children_each_have_their_own(using):
    restaurant = baker.make(Restaurant, name="a", city="Rome", cuisine="x", _using=using)
    rows = Restaurant.objects.using(using)
    own = {"testapp.place", "testapp.restaurant"}
    both: dict[type[models.Model], Any] = {
        Place: make(ignore=["city"]),
        Restaurant: make(ignore=["city"]),
    }
    with override_rules(both), delivered() as found:
        restaurant = rows.get(pk=restaurant.pk)
        ask_for_triggers(using)
        restaurant.city = "Oslo"
        restaurant.save()
        Place.objects.using(using).filter(pk=restaurant.pk).update(city="Bonn")
        rows.filter(pk=restaurant.pk).update(city="Kiel")
        assert own.isdisjoint(found.tags), "other children of the place have rules of their own"
        rows.filter(pk=restaurant.pk).update(cuisine="y")
        assert "testapp.restaurant" in found.tags
    with override_rules({Place: make(ignore=["city"])}), delivered() as found:
        execute(using, "UPDATE testapp_place SET city = 'Wien'")
        assert "testapp.restaurant" in found.tags, "its rule ignores nothing"
        assert "testapp.place" not in found.tags


# In the transaction itself


def test_what_is_not_committed_is_not_stored(product, using):
    class Undone(Exception):
        pass

    with registry.override(Product, IgnoresStock):
        with pytest.raises(Undone), transaction.atomic(using=using):
            Product.objects.using(using).filter(pk=product.pk).update(stock=66)
            assert shown(product.pk, using) == ("a", 66), "its own writes are seen"
            assert listed(using) == [("a", 66)]
            raise Undone
        assert shown(product.pk, using) == ("a", 1)
        assert listed(using) == [("a", 1)]
        with transaction.atomic(using=using):
            with pytest.raises(Undone), transaction.atomic(using=using):
                product.stock = 77
                product.save(using=using, update_fields=["stock"])
                raise Undone
            assert listed(using) == [("a", 1)]


def test_in_a_transaction_that_django_does_not_know_of_nothing_is_ignored(product, using):
    with registry.override(Product, IgnoresStock), delivered() as found:
        execute(using, "BEGIN")
        try:
            for way in (update, save_fields, raw_all):
                found.clear()
                way(product, using, "stock", 66)
                assert "testapp.product" in found.tags
        finally:
            execute(using, "ROLLBACK")
        found.clear()
        if using == "default":
            execute(using, f"BEGIN; UPDATE {TABLE} SET stock = 66; ROLLBACK")
            assert "testapp.product" in found.tags


def test_what_others_depend_on_is_still_a_hit_in_that_transaction(product, using):
    category = baker.make(Category, _using=using)
    calls = []

    @cached(timeout=60, name="ignore.counted")
    def counted(pk: int) -> str:
        calls.append(pk)
        return str(Category.objects.using(using).get(pk=pk).name)

    with registry.override(Product, IgnoresStock):
        counted(category.pk)
        with transaction.atomic(using=using):
            update_all(product, using, "stock", 2)
            counted(category.pk)
    assert calls == [category.pk]


# What a statement does not say


def test_in_a_first_transaction_sqlite_is_not_asked_and_nothing_ignored(product, using):
    relations.forget(connections[using])
    with registry.override(Product, IgnoresStock), delivered() as found:
        for number in (1, 2):
            with transaction.atomic(using=using):
                product.stock += 1
                product.save(using=using)
            is_told = using == "sqlite" and number == 1
            assert ("testapp.product" in found.tags) is is_told
            found.clear()


def test_a_column_that_the_model_does_not_have_is_a_change(product, using):
    execute(using, f"ALTER TABLE {TABLE} ADD COLUMN colour varchar(9)")
    try:
        with registry.override(Product, IgnoresStock), delivered() as found:
            sql = f"UPDATE {TABLE} SET stock = 5, colour = 'red' WHERE id = %s"
            execute(using, sql, [product.pk])
        assert "testapp.product" in found.tags
    finally:
        execute(using, f"ALTER TABLE {TABLE} DROP COLUMN colour")


@pytest.fixture
def trigger(using: str) -> Iterator[None]:
    """Have the database change the slug with the stock."""
    if using == "sqlite":
        made = (
            f"CREATE TRIGGER bump AFTER UPDATE OF stock ON {TABLE} BEGIN"
            f" UPDATE {TABLE} SET slug = 'bumped' WHERE id = NEW.id; END"
        )
        gone = "DROP TRIGGER bump"
    else:
        made = (
            "CREATE FUNCTION bump() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN NEW.slug = 'bumped'; RETURN NEW; END$$;"
            f" CREATE TRIGGER bump BEFORE UPDATE ON {TABLE}"
            " FOR EACH ROW EXECUTE FUNCTION bump()"
        )
        gone = f"DROP TRIGGER bump ON {TABLE}; DROP FUNCTION bump()"
    execute(using, made)
    yield
    execute(using, gone)


@pytest.mark.parametrize("way", WAYS)
def test_what_a_trigger_changes_besides_is_seen(way: Write, trigger, product, using):
    @cached(timeout=60, name="ignore.slugs")
    def slugs() -> list[str]:
        return list(Product.objects.using(using).values_list("slug", flat=True))

    with registry.override(Product, IgnoresStock):
        assert slugs() == ["a"]
        way(product, using, "stock", 7)
        assert slugs() == ["bumped"]


@pytest.mark.parametrize("way", WAYS)
def test_what_the_database_computes_besides_is_seen(way: Write, product, using):
    kind = "STORED" if using == "default" else "VIRTUAL"
    execute(
        using,
        f"ALTER TABLE {TABLE} ADD COLUMN twice integer GENERATED ALWAYS AS (stock * 2) {kind}",
    )
    try:
        with registry.override(Product, IgnoresStock), delivered() as found:
            way(product, using, "stock", 7)
        assert "testapp.product" in found.tags
    finally:
        execute(using, f"ALTER TABLE {TABLE} DROP COLUMN twice")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ({"a": 1}, {"a": True}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([1], [1.0]),
        ([1], (1,)),
        ("a", "A"),
        ("", None),
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 1, tzinfo=UTC)),
    ],
)
def test_what_python_takes_for_equal_need_not_be_stored_alike(one: Any, other: Any):
    assert not _is_same(one, other)
    assert _is_same(one, one)
    assert _is_same(other, other)


@pytest.mark.parametrize("same", ["1.50", 1.5, Decimal("1.500")])
def test_a_value_of_another_type_that_is_stored_alike_is_no_change(same: Any, product, using):
    Product.objects.using(using).update(price=Decimal("1.5"))
    product.refresh_from_db()
    with registry.override(Product, IgnoresStock), delivered() as found:
        product.stock, product.price = 3, same
        product.save()
    assert found == []


# What it costs


def queries_of(using: str, write: Callable[[], object]) -> list[str]:
    sent: list[str] = []

    def note(execute: Any, sql: str, *args: Any) -> Any:
        sent.append(sql.split()[0])
        return execute(sql, *args)

    with connections[using].execute_wrapper(note):
        write()
    return sent


def test_a_statement_that_says_so_costs_no_query_more(product, using):
    def writes() -> list[str]:
        product.stock += 1
        product.save(using=using, update_fields=["stock"])
        Product.objects.using(using).filter(pk=product.pk).update(stock=F("stock") + 1)
        execute(using, f"UPDATE {TABLE} SET stock = 5 WHERE id = %s", [product.pk])
        return []

    with registry.override(Product, make(ignore=["stock"], tags=["category:{category_id}"])):
        writes()
        assert [sql for sql in queries_of(using, writes) if sql != "BEGIN"] == ["UPDATE"] * 3


# What is said of it


def test_explain_says_what_stays_and_why(product, using):
    with registry.override(Product, IgnoresStock, Online):
        ignoring, online = explain_sql(f"UPDATE {TABLE} SET stock = 1", using=using).effects
        assert ignoring.tags == ignoring.keys == ()
        assert ignoring.stays == (
            "testapp.product",
            "testapp.product.category_id:*",
            "testapp.product:*",
            "menu",
            "product:{pk}",
        )
        (note,) = ignoring.notes
        assert note == "the tags of rows stay, since nothing changes but what is ignored: stock"
        assert online.tags == ("online:*",)
        text = str(explain_sql(f"UPDATE {TABLE} SET stock = 1", using=using))
        assert "    stays   testapp.product\n" in text
        product.stock += 1
        found = explain(product, using=using)
        assert found.tags == {"online:1", "online:2"}
        assert found.as_dict()["rules"][0]["stays"][0] == "testapp.product"
        product.name = "b"
        assert "menu" in explain(product, using=using).tags
        (note,) = explain(Product).effects[0].notes
        assert note == "the tags of rows stay if nothing changes but what is ignored: stock"


def messages_of(*declarations: Any) -> list[tuple[type, str, str]]:
    with registry.override(Product, *declarations):
        found = reported()
    assert all(message.hint for message in found)
    return [(type(m), str(m.id).rpartition(".")[2], m.msg) for m in found]


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"fields": ["stock", "name"]}, "fields names stock"),
        ({"tags": ["stock:{stock}"]}, "the tag 'stock:{stock}' names stock"),
        ({"keys": ["k:{pk}:{stock}"]}, "the key 'k:{pk}:{stock}' names stock"),
        ({"patterns": ["k:{stock}:*"]}, "the pattern 'k:{stock}:*' names stock"),
        ({"tags": [Tag("menu", fields=["stock"])]}, "the tag 'menu' names stock"),
        ({"track": ["stock"]}, "track names stock"),
    ],
)
def test_w028_a_field_that_is_ignored_and_asked_for(values: Any, what: str):
    ((kind, number, message),) = messages_of(make(ignore=["stock"], **values))
    assert (kind, number) == (Warning, "W028")
    assert message.startswith(what)
    others = {name: value for name, value in values.items() if name != "track"}
    if others:
        assert messages_of(make(ignore=["stock"]), make(**others)) == []


def test_w028_knows_a_relation_by_both_names():
    rule = make(ignore=["category"], tags=["category:{category_id}", "c:{category__slug}"])
    assert [number for _, number, _ in messages_of(rule)] == ["W028", "W028"]


@pytest.mark.parametrize(
    ("ignore", "problem"),
    [
        (["nothing"], "has no such field"),
        (["id"], "is the primary key"),
        (["tags"], "has no column"),
        (["reviews"], "has no column"),
        ("stock", "is no list"),
        (3, "is no list"),
    ],
)
def test_e008_what_cannot_be_ignored(ignore: Any, problem: str):
    ((kind, number, message),) = messages_of(make(ignore=ignore))
    assert (kind, number) == (Error, "E008")
    assert problem in message
    with registry.override(Product, make(ignore=ignore)), delivered() as found:
        baker.make(Product).save()
        Product.objects.update(id=F("id") + 1000)
    assert "testapp.product" in found.tags


def test_the_key_is_never_ignored():
    baker.make(Product)
    with registry.override(Product, make(ignore=["id", "stock"])), delivered() as found:
        execute("default", f"UPDATE {TABLE} SET id = id + 1000, stock = 1")
    assert "testapp.product:*" in found.tags


def test_a_file_is_stored_by_its_name():
    field = models.FileField()
    assert as_stored(field, field.attr_class(Category(), field, "a/b.txt")) == "a/b.txt"
