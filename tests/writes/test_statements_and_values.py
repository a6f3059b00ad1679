"""Statements that name their rows by key, and rules that look at what is in these."""

from typing import Any

import pytest
from django.db import connection, connections, transaction

from cache_invalidation import ModelInvalidation, cached, registry
from cache_invalidation.writes import rows
from tests.consistency.test_races import (
    Thread,
    make_categories,
    make_page,
    move_from_a_to_c_and_pause_before_commit,
    wait_until_blocked,
)
from tests.cursors import execute
from tests.elsewhere import elsewhere
from tests.ruled import ByCategory, in_force
from tests.testapp.models import Category, Product, Restaurant

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

MOVE = "UPDATE testapp_product SET category_id = %s WHERE id = %s"


rule = in_force({Product: ByCategory})


@pytest.mark.parametrize("is_atomic", [False, True], ids=["autocommit", "atomic"])
def test_the_old_and_the_new_values_are_named(using, is_atomic, deliveries):
    a, b = (category.pk for category in make_categories(using, "A", "B"))
    product = Product.objects.using(using).create(name="P", category_id=a)
    number = product.pk + 1
    steps: list[tuple[str, list[Any], set[str]]] = [
        (MOVE, [b, product.pk], {f"category:{a}", f"category:{b}"}),
        (
            "UPDATE testapp_product SET category_id = %s WHERE id IN (%s)",
            [a, product.pk],
            {f"category:{a}", f"category:{b}"},
        ),
        (
            "INSERT INTO testapp_product (id, name, slug, price, stock, category_id, created)"
            " VALUES (%s, 'Q', '', 0, 0, %s, '2026-01-01')",
            [number, b],
            {f"category:{b}"},
        ),
        ("DELETE FROM testapp_product WHERE id = %s", [number], {f"category:{b}"}),
        ("UPDATE testapp_product SET category_id = %s", [b], {"category:*"}),
        ("DELETE FROM testapp_product", [], {"category:*"}),
    ]
    for sql, params, expected in steps:
        deliveries.clear()
        if is_atomic:
            with transaction.atomic(using=using):
                execute(using, sql, params)
        else:
            execute(using, sql, params)
        assert deliveries.family("category") == expected, sql
        assert len(deliveries) == 1


def test_several_sets_of_parameters_name_the_values_of_all_rows(using, deliveries):
    a, b, c = (category.pk for category in make_categories(using, "A", "B", "C"))
    products = [Product.objects.using(using).create(category_id=pk).pk for pk in (a, b)]
    deliveries.clear()
    with connections[using].cursor() as cursor:
        cursor.executemany(MOVE, [[c, products[0]], [a, products[1]]])
    assert deliveries.family("category") == {f"category:{pk}" for pk in (a, b, c)}


def test_an_update_of_one_table_of_several_names_the_values_of_the_whole_row(using, deliveries):
    class InCity(ModelInvalidation):
        tags = ["in:{city}:{cuisine}"]

    with registry.override(Restaurant, InCity):
        pk = Restaurant.objects.using(using).create(city="Rome", cuisine="thai").pk
        deliveries.clear()
        execute(
            using, "UPDATE testapp_restaurant SET cuisine = 'fish' WHERE place_ptr_id = %s", [pk]
        )
        assert deliveries.family("in") == {"in:Rome:thai", "in:Rome:fish"}
        deliveries.clear()
        execute(using, "UPDATE testapp_place SET city = 'Oslo' WHERE id = %s", [pk])
        assert deliveries.family("in") == {"in:Rome:fish", "in:Oslo:fish"}


@pytest.mark.parametrize("mode", ["atomic", "autocommit"])
def test_two_writers_that_move_a_row_from_a_to_b_to_c_leave_all_three_fresh(
    using, mode, monkeypatch
):
    a, b, c = make_categories(using, "A", "B", "C")
    pk = Product.objects.using(using).create(name="wanderer", category=a).pk
    page = make_page(using)
    second_has_written = move_from_a_to_c_and_pause_before_commit(using, monkeypatch)

    def move_to_c() -> None:
        if mode == "autocommit":
            execute(using, MOVE, [c.pk, pk])
            return
        with transaction.atomic(using=using):
            execute(using, MOVE, [c.pk, pk])

    with transaction.atomic(using=using):
        execute(using, MOVE, [b.pk, pk])
        thread = Thread(move_to_c)
        thread.start()
        wait_until_blocked(using, thread)
    with second_has_written.when_reached():
        assert [page(x.pk) for x in (a, b, c)] == [[], ["wanderer"], []]
    thread.finish()
    assert [page(x.pk) for x in (a, b, c)] == [[], [], ["wanderer"]]


def test_the_race_of_two_writers_is_real(monkeypatch):
    """Without the lock, the value in the middle is lost; so the test above can fail."""
    monkeypatch.setattr(rows, "_locked", lambda found, using, deleting: found)
    with pytest.raises(AssertionError, match="wanderer"):
        test_two_writers_that_move_a_row_from_a_to_b_to_c_leave_all_three_fresh(
            "default", "atomic", monkeypatch
        )


WRITES = {
    "statement": lambda pk, to: execute("default", MOVE, [to.pk, pk]),
    "statements": lambda pk, to: execute("default", f"{MOVE}; {MOVE}", [to.pk, pk, to.pk, pk]),
    "save": lambda pk, to: Product(
        pk=pk, name="P", category=to, created="2026-01-01T00:00Z"
    ).save(),
    "update": lambda pk, to: Product.objects.filter(pk=pk).update(category=to),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_row_that_appears_just_before_it_is_updated_has_an_old_value_too(name):
    if connection.vendor == "sqlite":
        pytest.skip("locks the whole database")
    a, b = make_categories("default", "A", "B")
    page = make_page("default")
    assert page(a.pk) == page(b.pk) == []
    appeared = []

    def appear():
        Product(pk=77, name="P", category=a).save(force_insert=True)
        appeared.append(page(a.pk))

    def appear_first(execute, sql, params, many, context):
        if sql.startswith("UPDATE") and "SET" in sql and not appeared:
            elsewhere(appear)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(appear_first):
        WRITES[name](77, b)
    assert appeared == [["P"]], "it appeared too late or too early, so this proves nothing"
    assert page(b.pk) == ["P"]
    assert page(a.pk) == []


def test_a_row_that_goes_just_before_it_is_deleted_leaves_nothing_stale():
    if connection.vendor == "sqlite":
        pytest.skip("locks the whole database")
    a, b = make_categories("default", "A", "B")
    pk = 77
    page = make_page("default")
    seen: list[object] = []

    def come_first(execute, sql, params, many, context):
        if sql.startswith("DELETE") and not seen:
            elsewhere(lambda: Product(pk=pk, name="P", category=a).save(force_insert=True))
            seen.append(elsewhere(lambda: page(a.pk)))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(come_first):
        execute("default", "DELETE FROM testapp_product WHERE id = %s", [pk])
    assert seen == [["P"]]
    assert page(a.pk) == page(b.pk) == []


@pytest.mark.parametrize("is_atomic", [False, True], ids=["autocommit", "atomic"])
def test_where_rows_cannot_be_read_all_values_are_named_and_the_write_is_made(
    using, is_atomic, deliveries, caplog
):
    (a,) = make_categories(using, "A")
    pk = Product.objects.using(using).create(name="P").pk
    execute(using, "ALTER TABLE testapp_product RENAME COLUMN slug TO was_slug")
    deliveries.clear()
    try:
        if is_atomic:
            with transaction.atomic(using=using):
                execute(using, MOVE, [a.pk, pk])
                assert Category.objects.using(using).count() == 1
        else:
            execute(using, MOVE, [a.pk, pk])
    finally:
        execute(using, "ALTER TABLE testapp_product RENAME COLUMN was_slug TO slug")
    assert Product.objects.using(using).get().category_id == a.pk
    assert "category:*" in deliveries[0].tags
    assert "could not be read" in caplog.text


def test_rules_that_look_at_keys_alone_cost_no_query(using, django_assert_num_queries):
    pk = Category.objects.using(using).create(name="A").pk
    with django_assert_num_queries(1, using=using):
        execute(using, "UPDATE testapp_category SET name = 'B' WHERE id = %s", [pk])


def test_a_rule_for_some_fields_is_silent_where_others_are_assigned(using, deliveries):
    class Names(ModelInvalidation):
        tags = ["home"]
        fields = ["name"]

    pk = Product.objects.using(using).create(name="P").pk
    with registry.override(Product, Names):
        deliveries.clear()
        execute(using, "UPDATE testapp_product SET stock = 1 WHERE id = %s", [pk])
        execute(using, "UPDATE testapp_product SET stock = 2")
        assert deliveries.tags == {
            "testapp.product",
            "testapp.product:*",
            f"testapp.product:{pk}",
        }
        deliveries.clear()
        execute(using, "UPDATE testapp_product SET name = 'P' WHERE id = %s", [pk])
        assert "home" not in deliveries.tags
        execute(using, "UPDATE testapp_product SET name = 'Q' WHERE id = %s", [pk])
        assert "home" in deliveries.tags
        deliveries.clear()
        execute(using, "UPDATE testapp_product SET name = 'Q'")
        assert "home" in deliveries.tags


def test_what_is_tracked_is_dropped_for_the_old_and_the_new_value(using):
    class Tracking(ModelInvalidation):
        track = ["category"]

    a, b, c = (category.pk for category in make_categories(using, "A", "B", "C"))

    @cached(name=f"tracked {using}")
    def page(pk):
        found = Product.objects.using(using).filter(category_id=pk)
        return list(found.values_list("name", flat=True))

    with registry.override(Product, Tracking):
        pk = Product.objects.using(using).create(name="P", category_id=a).pk
        assert [page(a), page(b), page(c)] == [["P"], [], []]
        execute(using, MOVE, [b, pk])
        assert [page(a), page(b), page(c)] == [[], ["P"], []]
        execute(using, "UPDATE testapp_product SET category_id = %s", [c])
        assert [page(a), page(b), page(c)] == [[], [], ["P"]]


class ByCuisine(ModelInvalidation):
    tags = ["cuisine:{cuisine}"]


@cached(name="a restaurant's own columns")
def own_columns(pk: int, using: str) -> list[Any]:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT cuisine FROM testapp_restaurant WHERE place_ptr_id = %s", [pk])
        return list(cursor.fetchall())


@cached(name="tags of what may be no product", tags=["testapp.product:{pk}"])
def tags_of(pk: int, using: str) -> list[Any]:
    found = Product.tags.through.objects.using(using).filter(product_id=pk)
    return list(found.values_list("tag_id"))


@pytest.mark.filterwarnings("ignore::cache_invalidation.CacheDependencyWarning")
@pytest.mark.parametrize(
    ("read", "sql"),
    [
        (own_columns, "INSERT INTO testapp_restaurant (place_ptr_id, cuisine) VALUES (%s, 'x')"),
        (tags_of, "INSERT INTO testapp_product_tags (product_id, tag_id) VALUES (%s, 7)"),
    ],
)
def test_a_row_is_told_before_that_which_it_refers_to_is_there(using: str, read: Any, sql: str):
    """The database checks that at COMMIT only, and until then a query of both finds neither."""
    with registry.override(Restaurant, ByCuisine):
        assert read(5, using) == []
        with transaction.atomic(using=using):
            execute(using, sql, [5])
            assert len(read(5, using)) == 1
            transaction.set_rollback(True, using=using)
