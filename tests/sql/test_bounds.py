"""What analysing takes: time, memory, imports."""

import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from typing import get_args

import pytest

from cache_invalidation.sql import Dialect, Read, Statement, analysis, analyze

KNOWN = frozenset({"shop_product", "shop_tag"})
MEGABYTE = 1_000_000


@pytest.fixture(autouse=True)
def empty_cache() -> Iterator[None]:
    analysis._cache.clear()
    yield
    analysis._cache.clear()


def kept() -> int:
    return len(analysis._cache)


def test_the_same_text_is_analysed_once() -> None:
    sql = "DELETE FROM shop_tag WHERE id = {}"
    assert analyze(sql.format(1), "sqlite", KNOWN) is analyze(sql.format(1), "sqlite", KNOWN)
    assert kept() == 1


def test_other_dialects_and_other_tables_are_other_questions() -> None:
    sql = 'DELETE FROM "shop_tag"'
    assert analyze(sql, "sqlite", KNOWN).tables_written == {"shop_tag"}
    assert analyze(sql, "sqlite", frozenset({"shop_product"})).tables_written == set()
    assert analyze("DELETE FROM shop_product # shop_tag", "mysql", KNOWN).reads == ()


def test_ten_thousand_statements_do_not_pile_up() -> None:
    for number in range(10_000):
        analyze(f'DELETE FROM "shop_tag" WHERE "shop_tag"."id" = {number}', "sqlite", KNOWN)
    assert kept() <= 2 * 2_048


def test_long_statements_are_kept_by_their_bytes() -> None:
    rows = ", ".join(["(%s, %s, %s)"] * 400)
    tracemalloc.start()
    try:
        for number in range(60):
            sql = f'INSERT INTO "shop_tag" ("a{number}", "b", "c") VALUES {rows}'
            analyze(sql, "postgresql", KNOWN)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 2 < kept() < 60
    assert size < 20 * MEGABYTE


def test_what_is_used_stays() -> None:
    often = analyze("DELETE FROM shop_tag", "sqlite", KNOWN)
    for number in range(10_000):
        analyze(f'DELETE FROM "shop_tag" WHERE "id" = {number}', "sqlite", KNOWN)
        assert analyze("DELETE FROM shop_tag", "sqlite", KNOWN) is often


LONG = {
    "placeholders": "INSERT INTO shop_tag (id) VALUES " + ", ".join(["(%s)"] * (MEGABYTE // 6)),
    "numbers": "DELETE FROM shop_tag WHERE id IN (" + "123, " * (MEGABYTE // 5) + "1)",
    "literals": "INSERT INTO shop_tag VALUES " + "('shop_product'), " * (MEGABYTE // 19),
    "one literal": "UPDATE shop_tag SET a = '" + "shop_product " * (MEGABYTE // 13) + "'",
    "comment": "DELETE FROM shop_tag /* " + "shop_product " * (MEGABYTE // 13) + "*/",
}


@pytest.mark.parametrize("dialect", get_args(Dialect))
@pytest.mark.parametrize("sql", LONG.values(), ids=LONG.keys())
def test_a_megabyte_is_scanned_and_not_kept(sql: str, dialect: Dialect) -> None:
    start = time.process_time()
    statement = analyze(sql, dialect, KNOWN)
    assert time.process_time() - start < 2
    assert statement.tables_written == {"shop_tag"}
    assert kept() == 0


def test_a_long_query_is_still_a_query() -> None:
    sql = "SELECT * FROM shop_tag WHERE id IN (" + "%s, " * 100_000 + "1) FOR UPDATE"
    assert analyze(sql, "postgresql", KNOWN) == Statement(reads=(Read(table="shop_tag"),))


UNITS = ("'", '"', "(", "/*", "-", "%", "$a", "$a$", "e'\\")


@pytest.mark.parametrize(
    "sql",
    [unit * (MEGABYTE // len(unit)) for unit in UNITS],
    ids=UNITS,
)
@pytest.mark.parametrize("dialect", get_args(Dialect))
@pytest.mark.parametrize("length", [analysis.MAX_LENGTH, MEGABYTE])
def test_no_text_takes_long(sql: str, dialect: Dialect, length: int) -> None:
    start = time.process_time()
    analyze(sql[:length], dialect, KNOWN)
    assert time.process_time() - start < 2


def test_neither_django_nor_sqlglot_is_imported_for_the_plain_forms() -> None:
    code = """
import sys, types
package = types.ModuleType("cache_invalidation")
package.__path__ = ["cache_invalidation"]
sys.modules["cache_invalidation"] = package
from cache_invalidation.sql import analyze
assert analyze('DELETE FROM "a" WHERE "a"."id" = %s', "postgresql", frozenset({"a"})).writes
assert "django" not in sys.modules and "sqlglot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_long_statement_may_return_rows_and_does_not_count_them() -> None:
    keys = ",".join(str(number) for number in range(20_000))
    statement = analyze(
        f"UPDATE shop_tag SET a = 1 WHERE id IN ({keys}) RETURNING id", "sqlite", KNOWN
    )
    assert statement.tables_written == {"shop_tag"}
    assert statement.returns_rows
    assert not statement.counts_rows
