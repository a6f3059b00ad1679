"""Which texts return the same as long as their tables do."""

from typing import Any

import pytest
from psycopg.types.json import Jsonb
from psycopg.types.range import Range

from cache_invalidation.sql.statement import Dialect
from cache_invalidation.sql.steady import is_steady, names_moment

STEADY = [
    'SELECT "a"."now" FROM "a" WHERE "a"."b" IN (%s, %s)',
    'SELECT COUNT(*), COALESCE(SUM("a"."b"), %s) FROM "a" GROUP BY "c" HAVING (MAX("a"."b") > 1)',
    'SELECT ROW_NUMBER() OVER (PARTITION BY "a"."b" ORDER BY "a"."c") FROM "a"',
    'SELECT "a"."b" FROM "a" WHERE UPPER("a"."b"::text) LIKE UPPER(\'knowing\')',
    'SELECT DATE_TRUNC(%s, "a"."b" AT TIME ZONE %s)::date FROM "a" -- now()',
    'SELECT ST_AsEWKB("a"."b") FROM "a" WHERE EXISTS(SELECT 1 AS "x" FROM "c" LIMIT 1)',
    'SELECT CAST("a"."b" AS numeric(10, 2)) FROM "a" FULL JOIN "b" ON ("a"."c" = "b"."c")',
]
UNSTEADY = [
    'SELECT "a"."b" FROM "a" ORDER BY RANDOM() ASC',
    'SELECT "a"."b" FROM "a" WHERE "a"."c" < now()',
    'SELECT "a"."b" FROM "a" WHERE "a"."c" < NOW ()',
    'SELECT "a"."b" FROM "a" WHERE "a"."c" < (STATEMENT_TIMESTAMP())',
    'SELECT CURRENT_TIMESTAMP, "a"."b" FROM "a"',
    'SELECT current_date FROM "a"',
    "SELECT 'now'::timestamp FROM \"a\"",
    "SELECT E'Today'::date FROM \"a\"",
    "SELECT date('tomorrow') FROM \"a\"",
    'SELECT "mine"("a"."b") FROM "a"',
    'SELECT pg_catalog.upper("a"."b") FROM "a"',
    'SELECT current_setting(%s) FROM "a"',
    'SELECT "a"."b" FROM "a" FOR UPDATE',
    'SELECT "a"."b" FROM "a" FOR NO KEY UPDATE OF "a"',
    'SELECT "a"."b" FROM "a" FOR SHARE',
    'SELECT "a"."b" INTO c FROM "a"',
    'SELECT "a"."b" FROM "a" TABLESAMPLE SYSTEM (1)',
    'SELECT nextval(%s) FROM "a"',
    "SELECT /* /* */ 1 FROM a",
]


@pytest.mark.parametrize("text", STEADY)
def test_what_returns_the_same(text: str) -> None:
    assert is_steady(text, "postgresql")


@pytest.mark.parametrize("text", UNSTEADY)
def test_what_may_return_something_else(text: str) -> None:
    assert not is_steady(text, "postgresql")


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("sqlite", "SELECT STRFTIME('%%Y', 'NOW') FROM a"),
        ("sqlite", "SELECT DATE() FROM a"),
        ("sqlite", "SELECT RAND() FROM a"),
        # Somebody's own, since none of that name comes with the database.
        ("postgresql", "SELECT TOTAL(b) FROM a"),
        ("sqlite", "SELECT INITCAP(b) FROM a"),
        ("mysql", "SELECT TRUNC(b) FROM a"),
        ("mysql", "SELECT @row FROM a"),
        ("mysql", "SELECT SYSDATE(6) FROM a"),
    ],
)
def test_other_databases(dialect: Dialect, text: str) -> None:
    assert not is_steady(text, dialect)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ((1, None, "knowing", b"now", "x" * 70 + " now"), False),
        ((["knowing"], Range("knowing", None), Jsonb({"a": "now"})), False),
        (("now",), True),
        ((1, " Tomorrow 5:00 "), True),
        (["yesterday"], True),
        (([], [1, ("a", "now")]), True),
        ((Range(None, "today"),), True),
        ((" " * 70 + "now",), True),
        ((), False),
    ],
)
def test_parameters_that_name_a_moment(params: Any, expected: bool) -> None:
    assert bool(names_moment(params)) is expected
