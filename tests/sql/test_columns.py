"""Which columns a SELECT may read: the names in it, unless a row is read as a whole."""

import pytest

from cache_invalidation.sql import analyze, folded

KNOWN = frozenset({"shop_product", "shop_review"})


@pytest.mark.parametrize(
    ("sql", "named", "not_named"),
    [
        ('SELECT "shop_product"."name" FROM "shop_product"', {"name"}, {"stock", "id"}),
        ('SELECT COUNT(*) AS "__count" FROM "shop_product"', set(), {"stock"}),
        (
            'SELECT "shop_product"."name" FROM "shop_product" WHERE "shop_product"."stock" > %s',
            {"name", "stock"},
            {"id"},
        ),
        (
            'SELECT T2."name" FROM "shop_review" INNER JOIN "shop_product" T2 ON (T2."id" = 1)',
            {"name", "id"},
            {"stock"},
        ),
        ('SELECT U&"n\\0061me" FROM "shop_product"', {"name"}, {"stock"}),
        ('SELECT Name FROM "shop_product" ORDER BY STOCK', {"name", "stock"}, {"id"}),
        # A table that is called like a column of another one.
        ('SELECT U0."shop_product" FROM "shop_product" U0', {"shop_product"}, {"stock"}),
        ('SELECT straße FROM "shop_product"', {"straße"}, {"stock"}),
        ('SELECT sto$ck FROM "shop_product"', {"sto$ck"}, {"stock"}),
        (
            'SELECT "shop_product"."name" FROM "public"."shop_product"',
            {"shop_product", "name"},
            {"stock"},
        ),
    ],
)
def test_the_names_in_it(sql: str, named: set[str], not_named: set[str]) -> None:
    columns = analyze(sql, "postgresql", KNOWN).columns
    assert columns is not None
    assert columns >= set(map(folded, named))
    assert columns.isdisjoint(map(folded, not_named))


@pytest.mark.parametrize(
    "sql",
    [
        'SELECT * FROM "shop_product"',
        'SELECT "shop_product".* FROM "shop_product"',
        'SELECT COUNT(*), * FROM "shop_product"',
        'SELECT U0.* FROM "shop_product" U0',
        # PostgreSQL takes the name of a table for its row.
        'SELECT to_jsonb("shop_product") FROM "shop_product"',
        'SELECT U0 FROM "shop_product" U0',
        'SELECT u0 FROM "shop_product" U0',
        'SELECT COUNT("shop_product") FROM "shop_product"',
        'SELECT "name" FROM "shop_product" WHERE "shop_product" IS NOT NULL',
        'SELECT to_jsonb("shop_product") FROM "public"."shop_product"',
        'SELECT "shop_product" FROM "db"."public"."shop_product" WHERE "name" = %s',
        'SELECT "text" FROM "shop_review" NATURAL JOIN "shop_product"',
        'SELECT "name" FROM (SELECT * FROM "shop_product") t',
        "SELECT name FROM shop_product",
        # Another with each update of the row.
        'SELECT "shop_product"."name", "shop_product".xmin FROM "shop_product"',
        'WITH t AS (TABLE "shop_product") SELECT "name" FROM t',
        'INSERT INTO "shop_review" ("text") SELECT "name" FROM "shop_product"',
        'UPDATE "shop_product" SET "name" = %s RETURNING "name"',
        'SELECT "name" FROM "shop_product"; SELECT "text" FROM "shop_review"',
    ],
)
def test_any_column(sql: str) -> None:
    assert analyze(sql, "postgresql", KNOWN).columns is None


def test_a_text_that_sqlite_takes_for_a_name() -> None:
    assert analyze("SELECT t.'stock' FROM \"shop_product\" t", "sqlite", KNOWN).columns is None
