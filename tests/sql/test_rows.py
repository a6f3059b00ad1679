"""Which rows a statement names, and by which of its parameters."""

import pytest

from cache_invalidation.sql import Condition, Dialect, Parameter, Value, analyze

KNOWN = frozenset({"p", "c"})
PG: Dialect = "postgresql"


def where(*pairs: tuple[str, tuple[Value, ...]]) -> tuple[Condition, ...]:
    return tuple(Condition(column=column, values=values) for column, values in pairs)


def by(*keys: int | str) -> tuple[Value, ...]:
    return tuple(Parameter(key) for key in keys)


@pytest.mark.parametrize(
    ("dialect", "sql", "conditions"),
    [
        (PG, 'UPDATE "p" SET "a" = %s WHERE "p"."id" = %s', where(("id", by(1)))),
        (PG, 'UPDATE "p" SET "a" = %s WHERE "p"."id" IN (%s, %s)', where(("id", by(1, 2)))),
        (PG, 'UPDATE "p" SET "a" = %s WHERE ("p"."id" = %s)', where(("id", by(1)))),
        (PG, 'DELETE FROM "p" WHERE "p"."id" IN (7, %s)', where(("id", (7, Parameter(0))))),
        (
            PG,
            'DELETE FROM "p" WHERE ("p"."x" = %s AND ("p"."y" > %s AND "p"."z" = 3))',
            where(("x", by(0)), ("z", (3,))),
        ),
        (PG, 'DELETE FROM "p" WHERE ("p"."x" = %s OR "p"."y" = %s)', ()),
        (
            PG,
            'DELETE FROM "p" WHERE (("x" = %s AND "y" IN (%s, 3)) OR ("y" = %s AND "x" = 3))',
            where(("x", (Parameter(0), 3)), ("y", (Parameter(1), 3, Parameter(2)))),
        ),
        (PG, 'DELETE FROM "p" WHERE ("p"."x" = 1 OR "p"."x" = 2)', where(("x", (1, 2)))),
        (PG, 'DELETE FROM "p" WHERE ("p"."x" = %s OR "p"."x" = 2 OR x = 3)', ()),
        (PG, 'DELETE FROM "p" WHERE x = 1 OR x = 2 AND y = 3', where(("x", (1, 2)))),
        (PG, 'DELETE FROM "p" WHERE x = 1 OR x = 2 AND y = 3 OR true', ()),
        (PG, 'DELETE FROM "p" WHERE x = 1 OR NOT x = 2', ()),
        ("mysql", "DELETE FROM `p` WHERE x = 1 OR x = 2 XOR y = 3", ()),
        (PG, 'DELETE FROM "p" WHERE NOT ("p"."x" = %s)', ()),
        (PG, 'DELETE FROM "p" WHERE "p"."x" BETWEEN %s AND "p"."id" = %s', ()),
        (PG, 'DELETE FROM "p" WHERE CASE WHEN true AND "p"."id" = 3 THEN true END', ()),
        (PG, 'DELETE FROM "p" WHERE "p"."id" NOT IN (%s)', ()),
        (PG, 'DELETE FROM "p" WHERE "p"."id" IN (%s, NULL)', ()),
        (PG, 'DELETE FROM "p" WHERE "p"."id" IN (SELECT U0."id" FROM "c" U0)', ()),
        (PG, 'DELETE FROM "p" WHERE "p"."id" = %s RETURNING "p"."id"', where(("id", by(0)))),
        (
            PG,
            "DELETE FROM p WHERE id = %(pk)s AND name = %(n)s",
            where(("id", by("pk")), ("name", by("n"))),
        ),
        (PG, "DELETE FROM p WHERE ID = 4", where(("id", (4,)))),
        (PG, "DELETE FROM p WHERE id = ANY(%s)", where(("id", (Parameter(0, is_array=True),)))),
        (
            PG,
            "DELETE FROM p WHERE id = ANY(%s::int[])",
            where(("id", (Parameter(0, is_array=True),))),
        ),
        (
            PG,
            "UPDATE p AS x SET a = %s FROM c WHERE x.id = c.id AND x.id = %s AND c.id = 3",
            where(("id", by(1))),
        ),
        (PG, "UPDATE p SET a = '%%', b = 5 %% 2 WHERE id = %s", where(("id", by(0)))),
        # Whether the first placeholder counts depends on the driver.
        (PG, "UPDATE p SET a = '%s' WHERE id = %s", ()),
        (PG, "UPDATE p /* %s */ SET a = 1 WHERE id = %s AND x = 3", where(("x", (3,)))),
        ("sqlite", "UPDATE p SET a = ? WHERE id = ?", where(("id", by(1)))),
        ("sqlite", "UPDATE p SET a = :a WHERE id = :pk", where(("id", by("pk")))),
        ("sqlite", 'DELETE FROM "p" WHERE "p"."id" = ?7', ()),
        ("mysql", "DELETE FROM `p` WHERE `p`.`id` IN (%s, %s)", where(("id", by(0, 1)))),
        ("mysql", "DELETE FROM `p` WHERE `p`.`id` = %s || `p`.`x` = 1", ()),
        ("mysql", "DELETE x FROM p x JOIN c ON x.id = c.id WHERE x.id = %s", where(("id", by(0)))),
    ],
)
def test_a_write_holds_the_conditions_on_its_rows(
    dialect: Dialect, sql: str, conditions: tuple[Condition, ...]
) -> None:
    [write] = analyze(sql, dialect, KNOWN).writes
    assert write.table == "p"
    assert write.conditions == conditions


@pytest.mark.parametrize(
    ("sql", "conditions"),
    [
        ('SELECT "p"."a" FROM "p" WHERE "p"."id" = %s LIMIT 21', where(("id", by(0)))),
        (
            'SELECT "p"."a" FROM "p" INNER JOIN "c" ON ("p"."c_id" = "c"."id")'
            ' WHERE ("p"."id" IN (%s, %s) AND "c"."id" = %s) ORDER BY "p"."id"',
            where(("id", by(0, 1))),
        ),
        ("SELECT * FROM p x WHERE x.id = 3", where(("id", (3,)))),
        ('SELECT 1 FROM "p" WHERE "p"."id" = %s UNION SELECT 2', ()),
        ('SELECT COUNT(*) FROM "p"', ()),
    ],
)
def test_a_read_holds_them_too(sql: str, conditions: tuple[Condition, ...]) -> None:
    reads = {read.table: read for read in analyze(sql, PG, KNOWN).reads}
    assert reads["p"].conditions == conditions


@pytest.mark.parametrize(
    ("sql", "columns", "rows"),
    [
        (
            'INSERT INTO "p" ("a", "b") VALUES (%s, %s), (%s, 4)',
            "a b",
            (by(0, 1), (Parameter(2), 4)),
        ),
        ('INSERT INTO "p" ("a", "b") VALUES (%s, NOW())', "a b", ((Parameter(0), None),)),
        ("INSERT INTO p (A, b) VALUES (%(x)s, 'b')", "a b", ((Parameter("x"), None),)),
        ("INSERT INTO p VALUES (%s)", "", (by(0),)),
        ('INSERT INTO "p" DEFAULT VALUES', "", ((),)),
        ("INSERT INTO p (a) SELECT a FROM c", "a", ()),
        (
            'INSERT INTO "p" ("a", "b") SELECT * FROM UNNEST((%s)::integer[], (%s)::text[])',
            "a b",
            ((Parameter(0, is_array=True), Parameter(1, is_array=True)),),
        ),
        (
            'UPDATE "p" SET "a" = %s, "b" = CASE WHEN (1 = %s) THEN %s END, "c" = 3',
            "a b c",
            ((Parameter(0), None, 3),),
        ),
        ('UPDATE "p" SET "a" = "p"."a" + %s', "a", ((None,),)),
    ],
)
def test_a_write_holds_what_it_stores(
    sql: str, columns: str, rows: tuple[tuple[Value | None, ...], ...]
) -> None:
    [write] = analyze(sql, PG, KNOWN).writes
    assert write.columns == tuple(columns.split())
    assert write.rows == rows


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        (PG, 'INSERT INTO "p" ("a") VALUES (%s) ON CONFLICT("a") DO UPDATE SET "b" = 1'),
        ("sqlite", 'INSERT INTO "p" ("a") VALUES (%s) ON CONFLICT("a") DO UPDATE SET "b" = 1'),
        ("mysql", "INSERT INTO `p` (`a`) VALUES (%s) ON DUPLICATE KEY UPDATE `b` = 1"),
    ],
)
def test_an_upsert_may_update_any_row(dialect: Dialect, sql: str) -> None:
    insert, update = analyze(sql, dialect, KNOWN).writes
    assert (insert.kind, insert.rows) == ("insert", (by(0),))
    assert (update.kind, update.conditions) == ("update", ())


def test_what_may_replace_other_rows_has_no_conditions() -> None:
    [write] = analyze("UPDATE OR REPLACE p SET a = 1 WHERE id = ?", "sqlite", KNOWN).writes
    assert (write.kind, write.conditions) == ("replace", ())


@pytest.mark.parametrize(
    ("dialect", "sql", "expected"),
    [
        (PG, "DELETE FROM p", True),
        (PG, "INSERT INTO p (id) VALUES (1)", False),
        (PG, 'INSERT INTO "p" ("id") VALUES (%s)', False),
        (PG, 'INSERT INTO "p" ("id") VALUES (%s) ON CONFLICT DO NOTHING', True),
        (PG, 'INSERT INTO "p" ("id") VALUES (%s) ON CONFLICT ("id") DO NOTHING', True),
        (PG, 'INSERT INTO "p" ("id") VALUES (%s) ON CONFLICT ("id") DO UPDATE SET "a" = 1', False),
        ("sqlite", 'INSERT OR IGNORE INTO "p" ("id") VALUES (%s)', True),
        ("sqlite", 'INSERT OR REPLACE INTO "p" ("id") VALUES (%s)', False),
        ("mysql", "INSERT IGNORE INTO `p` (`id`) VALUES (%s)", True),
        (PG, 'INSERT INTO "p" ("id") VALUES (1) ON CONFLICT DO NOTHING; DELETE FROM "c"', False),
    ],
)
def test_the_number_of_rows_that_a_statement_reports_may_be_that_of_those_it_writes(
    dialect: Dialect, sql: str, expected: bool
) -> None:
    assert analyze(sql, dialect, KNOWN).counts_rows is expected
