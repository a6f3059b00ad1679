"""`explain_sql`: what a statement would make stale, said without executing it."""

import json

import pytest
from django.core.management.color import no_style
from django.db import connections, transaction
from model_bakery import baker

from cache_invalidation import ModelInvalidation, registry
from cache_invalidation.explain import explain_sql
from tests.cursors import execute
from tests.delivered import delivered
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


class ProductRule(ModelInvalidation):
    tags = ["category:{category_id}", "slug:{category__slug}"]
    keys = ["product:{pk}:{name}"]


@pytest.fixture(autouse=True)
def _rows():
    for using in ("default", "sqlite"):
        one, two = (
            baker.make(Category, pk=pk, slug=slug, _using=using)
            for pk, slug in ((7, "tea"), (8, "milk"))
        )
        baker.make(Product, pk=42, name="x", category=one, _using=using)
        baker.make(Product, pk=43, name="y", category=two, _using=using)
        # The database gives out no key that is taken, whatever other tests have left behind.
        for sql in connections[using].ops.sequence_reset_sql(no_style(), [Category, Product]):
            execute(using, sql)


STATEMENTS = [
    ("UPDATE testapp_product SET stock = 3 WHERE id = 42", None),
    ("UPDATE testapp_product SET category_id = 8 WHERE id = 42", None),
    ("UPDATE testapp_product SET category_id = %s, name = %s WHERE id IN (42, %s)", [8, "z", 43]),
    ("UPDATE testapp_product SET stock = stock + 1", None),
    ("DELETE FROM testapp_product WHERE id = %s", [43]),
    ("DELETE FROM testapp_product WHERE id IN (42, 43)", None),
    (
        "INSERT INTO testapp_product (id, name, slug, price, stock, category_id, created)"
        " VALUES (%s, %s, '', 0, 0, 8, '2026-01-01')",
        [99, "new"],
    ),
    ("INSERT INTO testapp_category (name, slug) VALUES ('a', 'b')", None),
    ("UPDATE testapp_category SET name = 'n' WHERE slug = 'tea'", None),
]


@pytest.mark.parametrize("using", ["default", "sqlite"])
@pytest.mark.parametrize("rule", [None, ProductRule])
@pytest.mark.parametrize(("sql", "params"), STATEMENTS)
def test_it_says_what_the_statement_does(sql, params, rule, using):
    with registry.override(Product, rule):
        explained = explain_sql(sql, params, using=using)
        with delivered() as found, connections[using].cursor() as cursor:
            cursor.execute(sql, params)
    assert explained.tags == found.tags
    assert explained.keys == found.keys
    assert explained.patterns == found.patterns
    assert explained.notes == ()


def test_braces_stand_for_values_that_only_the_database_computes():
    with registry.override(Product, ProductRule):
        explained = explain_sql("UPDATE testapp_product SET name = upper(name) WHERE id = 42")
    assert explained.keys == {"product:42:x", "product:42:{name}"}


def test_rules_that_look_at_other_columns_stay_quiet():
    class Rule(ProductRule):
        fields = ["name"]

    with registry.override(Product, Rule):
        quiet = explain_sql("UPDATE testapp_product SET stock = 1 WHERE id = 42")
        assert quiet.tags == {"testapp.product", "testapp.product:42"}
        assert explain_sql("UPDATE testapp_product SET name = 'a' WHERE id = 42").keys


def test_its_text_says_what_is_written_and_by_which_rule():
    with registry.override(Product, ProductRule):
        explained = explain_sql("DELETE\n  FROM testapp_product\n  WHERE id = 42")
        assert str(explained).splitlines() == [
            "DELETE FROM testapp_product WHERE id = 42",
            "  delete testapp.product",
            f"    {__name__}.ProductRule",
            "      tag     category:7",
            "      tag     slug:tea",
            "      tag     testapp.product",
            "      tag     testapp.product:42",
            "      key     product:42:x",
        ]


def test_of_a_query_it_says_on_what_its_result_depends():
    explained = explain_sql(
        "SELECT * FROM testapp_product p JOIN testapp_category c ON c.id = p.category_id"
        " WHERE p.id = %s",
        [42],
    )
    assert explained.effects == ()
    assert explained.reads == ("testapp.category", "testapp.product:42")
    assert str(explained).splitlines()[1:] == [
        "  whoever caches what it reads depends on",
        "    tag     testapp.category",
        "    tag     testapp.product:42",
        "  It only reads, so nothing would be invalidated.",
    ]


def test_a_statement_that_reads_and_writes_has_both():
    explained = explain_sql("INSERT INTO testapp_tag (name) SELECT name FROM testapp_category")
    assert explained.tags == {"testapp.tag", "testapp.tag:*"}
    assert explained.reads == ("testapp.category",)
    found = json.loads(json.dumps(explained.as_dict()))
    assert (found["operation"], found["reads"]) == ("sql", ["testapp.category"])
    assert found["rules"][0]["rule"] == "built in"


def test_rows_that_are_not_there_are_no_reason_to_invalidate():
    with registry.override(Product, ProductRule):
        explained = explain_sql("DELETE FROM testapp_product WHERE id = 99")
    assert explained.effects == ()
    assert explained.notes == (
        "It names rows that are not there, so nothing would be invalidated.",
    )


def test_parameters_that_are_not_given_are_named_and_leave_the_rows_unknown():
    explained = explain_sql("UPDATE testapp_product SET stock = %s WHERE id = %s", [1])
    assert explained.tags == {"testapp.product", "testapp.product:*"}
    assert explained.notes == (
        "No value is given for %s 2, so it is not known what depends on it.",
    )
    assert "%(pk)s" in explain_sql("DELETE FROM testapp_product WHERE id = %(pk)s").notes[0]
    assert not explain_sql("DELETE FROM testapp_product WHERE id = %(pk)s", {"pk": 1}).notes


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "   ;; ",
        ")(*&^%$ garbage",
        "SELECT 'unterminated",
        "/* unterminated",
        "\x00\udcff",
        "%s %(x)s %",
        "SELECT " + "(" * 5_000,
        "x" * 1_000_000,
    ],
)
def test_what_names_no_table_is_no_error(sql):
    explained = explain_sql(sql)
    assert (explained.effects, explained.reads) == ((), ())
    assert explained.notes[0] == (
        "It names no table of a model: nothing would be invalidated, and nothing depends on it."
    )
    assert len(str(explained)) < 500
    str(explained).encode()
    json.dumps(explained.as_dict())


@pytest.mark.parametrize("sql", ["DELETE FROM testapp_prodct", "DELETE FROM testapp.Product"])
def test_a_name_that_is_close_to_that_of_a_table_is_suggested(sql):
    assert explain_sql(sql).notes[1:] == ("Did you mean testapp_product?",)


def test_what_is_not_understood_counts_as_a_write_and_says_so():
    explained = explain_sql("FROBNICATE testapp_product")
    assert explained.tags == {"testapp.product", "testapp.product:*"}
    assert explained.notes[0].startswith("It is not understood")


@pytest.mark.parametrize("sql", ["DELETE FROM django_session", "SELECT * FROM django_session"])
def test_a_table_that_nobody_watches_is_named(sql):
    note = "Nobody watches sessions.Session: see EXCLUDE in CACHE_INVALIDATION."
    assert note in explain_sql(sql).notes


def test_rows_that_cannot_be_read_are_unknown():
    with registry.override(Product, ProductRule), transaction.atomic():
        with connections["default"].cursor() as cursor:
            cursor.execute("ALTER TABLE testapp_product RENAME COLUMN slug TO gone")
        explained = explain_sql("DELETE FROM testapp_product WHERE id = 42")
        assert explained.tags >= {"testapp.product:*", "category:*"}
        assert Category.objects.exists()  # The transaction goes on.
        transaction.set_rollback(True)


def test_only_text_is_taken():
    with pytest.raises(TypeError, match="as text, not b'DELETE'"):
        explain_sql(b"DELETE")  # type: ignore[arg-type]


def test_rows_that_are_not_there_do_not_stand_for_all_values():
    sql = "UPDATE testapp_product SET stock = 1 WHERE id IN (42, 999)"
    with registry.override(Product, ProductRule):
        assert "category:*" not in explain_sql(sql).tags
        with delivered() as found, connections["default"].cursor() as cursor:
            cursor.execute(sql)
    assert "category:*" not in found.tags


@pytest.mark.parametrize("sql", ["SELEC 1", "SELEC * FROM testapp_prodct", "CALL restock()", "'"])
def test_what_is_not_understood_is_called_so_where_it_names_no_table(sql):
    notes = explain_sql(sql).notes
    assert notes[0].startswith("It names no table of a model")
    assert notes[1].startswith("It is not understood. It may be mistyped")


@pytest.mark.parametrize("sql", ["SELECT 1", "BEGIN", "SELECT * FROM elsewhere", "", "VACUUM"])
def test_what_is_understood_is_not_called_mistyped(sql):
    assert not any("not understood" in note for note in explain_sql(sql).notes)
