"""Which tables a statement writes and reads, by dialect."""

import pytest

from cache_invalidation.sql import Dialect, analyze

KNOWN = frozenset({"shop_product", "shop_category", "shop_tag"})
ALL: tuple[Dialect, ...] = ("postgresql", "sqlite", "mysql")

P, C, T = "shop_product", "shop_category", "shop_tag"
# As Django's `extra(tables=…)` does it.
LISTED = 'FROM "shop_product" x JOIN "shop_tag" ON (x."a" = "shop_tag"."id") , "shop_category"'

EVERYWHERE = [
    # statement, written, read, may write
    ("", "", "", False),
    (" ;; ", "", "", False),
    ("-- DELETE FROM shop_product", "", "", False),
    ("/* DELETE FROM shop_product */ SELECT 1", "", "", False),
    ("SELECT 1", "", "", False),
    ("SELECT * FROM shop_product", "", P, False),
    ("select * from Shop_Product", "", P, False),
    ("SELECT shop_tag FROM shop_product", "", P, False),
    ("SELECT 'DELETE FROM shop_tag' FROM shop_product", "", P, False),
    ("SELECT 'it''s shop_tag' FROM shop_product", "", P, False),
    ("SELECT * FROM shop_product, shop_tag", "", f"{P} {T}", False),
    ("SELECT * FROM shop_product p JOIN shop_tag t ON p.id = t.id", "", f"{P} {T}", False),
    ("SELECT * FROM (SELECT * FROM shop_tag) x", "", T, False),
    ("SELECT * FROM shop_product UNION SELECT * FROM shop_tag", "", f"{P} {T}", False),
    ("WITH x AS (SELECT * FROM shop_tag) SELECT * FROM x", "", T, False),
    ("INSERT INTO shop_product (id) VALUES (1)", P, "", True),
    ("INSERT INTO shop_product SELECT * FROM shop_tag", P, T, True),
    ("INSERT INTO shop_product (a) VALUES ((SELECT id FROM shop_tag))", P, T, True),
    ("INSERT INTO other (updated_at, shop) VALUES (1, 'shop_product')", "", "", True),
    ("UPDATE shop_product SET updated_at = 1", P, "", True),
    ("UPDATE shop_product SET n = (SELECT MAX(id) FROM shop_tag)", P, T, True),
    ("UPDATE other SET shop_product_id = 1, name = 'shop_product'", "", "", True),
    ("DELETE FROM shop_product", P, "", True),
    ("DELETE FROM shop_product WHERE id IN (SELECT id FROM shop_tag)", P, T, True),
    ("DELETE FROM shop_product; UPDATE shop_tag SET a = 1", f"{P} {T}", "", True),
    ("SELECT 1; DELETE /* ; */ FROM shop_product -- ;", P, "", True),
    ("SAVEPOINT shop_product", "", "", False),
    ("RELEASE SAVEPOINT x", "", "", False),
    ("BEGIN", "", "", False),
    ("ROLLBACK", "", "", False),
    ("DROP TABLE shop_product", P, "", True),
    ("ALTER TABLE shop_product ADD COLUMN x int", P, "", True),
    ("CREATE TABLE shop_product (id int)", P, "", True),
    ("CREATE TABLE x AS SELECT * FROM shop_product", "", P, True),
    ("EXPLAIN DELETE FROM shop_product", "", "", False),
    ("THIS IS NOT SQL shop_product", P, P, True),
    ("UPDATE shop_product SET SET SET", P, None, True),
    ("NOT SQL 'shop_tag' -- shop_product", T, T, True),
    ("garbage \x00\ud800\ufffe shop_product \\", P, P, True),
    ("SELECT 5 %% 2 FROM shop_product WHERE name LIKE 'a%%'", "", P, False),
]

POSTGRESQL = [
    ('UPDATE "public"."shop_product" SET "a" = 1', P, "", True),
    ("UPDATE public.shop_product SET a = 1", P, "", True),
    ("UPDATE ONLY shop_product AS p SET a = 1", P, "", True),
    ("UPDATE shop_product SET a = 1 FROM shop_tag", P, T, True),
    ("DELETE FROM shop_product USING shop_tag WHERE shop_tag.id = 1", P, T, True),
    ("WITH x AS (DELETE FROM shop_tag RETURNING *) SELECT * FROM x", T, "", True),
    (
        "WITH x AS (DELETE FROM shop_tag RETURNING *) INSERT INTO shop_product SELECT * FROM x",
        f"{P} {T}",
        "",
        True,
    ),
    ("WITH x AS (SELECT * FROM shop_tag) UPDATE shop_product SET a = 1 FROM x", P, T, True),
    ("INSERT INTO shop_product (id) VALUES (1) ON CONFLICT DO NOTHING", P, "", True),
    (
        "INSERT INTO shop_product (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 2",
        P,
        "",
        True,
    ),
    (
        "MERGE INTO shop_product p USING shop_tag t ON p.id = t.id"
        " WHEN MATCHED THEN UPDATE SET a = t.a WHEN NOT MATCHED THEN INSERT (id) VALUES (t.id)",
        P,
        T,
        True,
    ),
    ("MERGE INTO shop_product USING shop_tag ON true WHEN MATCHED THEN DELETE", P, T, True),
    ("TRUNCATE shop_product, public.shop_tag RESTART IDENTITY", f"{P} {T}", "", True),
    ("COPY shop_product (id, shop_tag) FROM STDIN", P, "", True),
    ("COPY shop_product TO STDOUT", "", P, False),
    ("COPY (SELECT * FROM shop_product) TO STDOUT", "", P, False),
    ("COPY (DELETE FROM shop_product RETURNING *) TO STDOUT", P, "", True),
    ("SELECT * FROM shop_product FOR UPDATE", "", P, False),
    ("SELECT * FROM shop_product FOR NO KEY UPDATE OF shop_product SKIP LOCKED", "", P, False),
    ("SELECT * INTO shop_tag FROM shop_product", T, P, True),
    ("EXPLAIN ANALYZE DELETE FROM shop_product", P, "", True),
    ("EXPLAIN (ANALYZE, COSTS off) DELETE FROM shop_product", P, "", True),
    ("EXPLAIN ANALYZE VERBOSE SELECT * FROM shop_product", "", P, False),
    ("EXPLAIN (FORMAT json) UPDATE shop_product SET a = 1", "", "", False),
    ("LOCK TABLE shop_product IN EXCLUSIVE MODE", "", "", False),
    ("CALL change('shop_product')", P, P, True),
    ("DO $$ BEGIN UPDATE shop_product SET a = 1; END $$", P, P, True),
    ("DO 'BEGIN EXECUTE ''DELETE FROM shop_'' || ''product''; END'", f"{P} {C} {T}", "", True),
    (r"DO E'BEGIN DELETE FROM shop_produc\164; END'", f"{P} {C} {T}", "", True),
    ("""DELETE FROM U&"shop_produc!0074" UESCAPE '!'""", f"{P} {C} {T}", "", True),
    ("""COPY U&"shop_produc!0074" UESCAPE '!' FROM STDIN""", f"{P} {C} {T}", "", True),
    (r"""DELETE FROM U&"shop_produc\0074" /* a /* b */ */""", f"{P} {C} {T}", "", True),
    (f"""SELECT '{"x" * 70_000}' FROM U&"p!0074" UESCAPE '!'""", f"{P} {C} {T}", "", True),
    ("PREPARE x AS DELETE FROM shop_product", P, P, True),
    ("DECLARE x CURSOR FOR SELECT * FROM shop_product", "", P, False),
    ("REFRESH MATERIALIZED VIEW shop_product", P, "", True),
    ("SELECT $$ shop_tag $$, $x$ shop_tag $$ $x$ FROM shop_product", "", P, False),
    (r"SELECT E'\' shop_tag' FROM shop_product", "", P, False),
    (r"SELECT '\' FROM shop_product WHERE a = ' shop_tag '", "", P, False),
    ("/* a /* b */ ' */ DELETE FROM shop_product", P, P, True),
    ("SELECT data ? 'shop_tag' FROM shop_product WHERE data ?| array['a']", "", P, False),
    ("SET search_path TO shop_product", "", "", False),
    (f'SELECT x."a" {LISTED}', "", f"{P} {C} {T}", False),
    (
        f'SELECT (1) IN (SELECT x."a" {LISTED} WHERE (x."a", 2) = (1, 2)), 3',
        "",
        f"{P} {C} {T}",
        False,
    ),
    (f'DELETE FROM "shop_tag" WHERE "id" IN (SELECT x."a" {LISTED})', T, f"{P} {C} {T}", True),
]

SQLITE = [
    ("REPLACE INTO shop_product (id) VALUES (1)", P, "", True),
    ("INSERT OR REPLACE INTO [shop_product] (id) VALUES (?)", P, "", True),
    ("INSERT OR IGNORE INTO `shop_product` (id) VALUES (?)", P, "", True),
    ('UPDATE OR REPLACE "shop_product" SET a = ?', P, "", True),
    ('DELETE FROM main."shop_product" WHERE id = ?1', P, "", True),
    ("EXPLAIN QUERY PLAN DELETE FROM shop_product", "", "", False),
    ("PRAGMA table_info(shop_product)", "", "", False),
    (f'SELECT x."a" {LISTED} ORDER BY 1, 2', "", f"{P} {C} {T}", False),
    ("INSERT INTO shop_product (id) VALUES (1) ON CONFLICT(id) DO UPDATE SET a = 1", P, "", True),
]

MYSQL = [
    ("REPLACE INTO shop_product (id) VALUES (1)", P, "", True),
    ("INSERT IGNORE INTO `shop_product` (`id`) VALUES (%s)", P, "", True),
    ("UPDATE LOW_PRIORITY shop_product SET a = 1", P, "", True),
    ("UPDATE shop_product, shop_tag SET a = 1", f"{P} {T}", "", True),
    ("UPDATE shop_product p JOIN shop_tag t ON p.id = t.id SET p.a = 1", f"{P} {T}", "", True),
    ("DELETE p FROM shop_product p JOIN shop_tag t ON p.id = t.id", P, T, True),
    ("DELETE p, t FROM shop_product p JOIN shop_tag t ON p.id = t.id", f"{P} {T}", "", True),
    ("TRUNCATE `shop_product`", P, "", True),
    ("LOAD DATA INFILE 'x' INTO TABLE shop_product", P, P, True),
    ('SELECT "shop_tag" FROM shop_product', "", P, False),
    (r"SELECT 'it\'s shop_tag' FROM shop_product", "", P, False),
    ("SELECT 1 # DELETE FROM shop_product", "", "", False),
    ("/*!50000 DELETE FROM shop_product */", P, "", True),
    ("INSERT INTO shop_product SET a = 1", P, None, True),
    ("EXPLAIN ANALYZE DELETE FROM shop_product", P, "", True),
    ("ANALYZE FORMAT=JSON DELETE FROM shop_product", P, "", True),
    ("ANALYZE TABLE shop_product", "", "", False),
    ("EXPLAIN ANALYZE REPLACE INTO shop_product (id) VALUES (1)", P, "", True),
    ("SET STATEMENT max_statement_time=1 FOR UPDATE shop_product SET a = 1", P, None, True),
    ("BEGIN NOT ATOMIC DELETE FROM shop_product; END", P, None, True),
    ("SELECT * FROM shop_product LOCK IN SHARE MODE", "", P, False),
]

CASES = [
    *[(dialect, *case) for dialect in ALL for case in EVERYWHERE],
    *[("postgresql", *case) for case in POSTGRESQL],
    *[("sqlite", *case) for case in SQLITE],
    *[("mysql", *case) for case in MYSQL],
]


@pytest.mark.parametrize(("dialect", "sql", "written", "read", "may_write"), CASES)
def test_a_statement_writes_and_reads_these_tables(
    dialect: Dialect, sql: str, written: str, read: str | None, may_write: bool
) -> None:
    statement = analyze(sql, dialect, KNOWN)
    assert statement.tables_written == set(written.split())
    assert read is None or statement.tables_read == set(read.split())
    assert statement.may_write is may_write


@pytest.mark.parametrize(
    ("sql", "kinds"),
    [
        ("INSERT INTO shop_tag (id) VALUES (1)", {"insert"}),
        (
            "INSERT INTO shop_tag (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET a = 1",
            {"insert", "update"},
        ),
        ("UPDATE shop_tag SET a = 1", {"update"}),
        ("DELETE FROM shop_tag", {"delete"}),
        ("TRUNCATE shop_tag", {"truncate"}),
        ("MERGE INTO shop_tag USING x ON true WHEN MATCHED THEN DELETE", {"merge"}),
        ("REPLACE INTO shop_tag (id) VALUES (1)", {"replace"}),
        ("COPY shop_tag FROM STDIN", {"copy"}),
        ("DROP TABLE shop_tag", {"ddl"}),
        ("ALTER TABLE x ATTACH PARTITION shop_tag DEFAULT", {"ddl"}),
        ("CREATE OR REPLACE VIEW shop_tag AS SELECT 1", {"ddl"}),
        ("DO $$ BEGIN ALTER TABLE shop_tag ADD x int; END $$", {"ddl"}),
        ("DROP /* a /* b */ c */ TABLE shop_tag", {"ddl"}),
        ("CREATE TABLE shop_tag AS SELECT '" + "x" * 70_000 + "'", {"ddl"}),
        ("REFRESH MATERIALIZED VIEW shop_tag", {"refresh"}),
        ("SELECT * INTO shop_tag FROM x", {"ddl"}),
        ("CALL f(shop_tag)", {"unknown"}),
        ("CREATE INDEX ON shop_tag (name)", set()),
        ("CREATE UNIQUE INDEX CONCURRENTLY x ON shop_tag (name)", set()),
        ("CREATE TABLE x (LIKE shop_tag INCLUDING ALL)", set()),
        ('CREATE TABLE "x" ("y" bigint REFERENCES "public"."shop_tag" ("id"))', set()),
        ("SELECT * FROM shop_tag", set()),
        ("DELETE FROM elsewhere", set()),
    ],
)
def test_each_write_has_its_kind(sql: str, kinds: set[str]) -> None:
    assert analyze(sql, "postgresql", KNOWN).kinds == kinds


@pytest.mark.parametrize(
    ("sql", "written"),
    [
        ("CREATE TABLE x (y int REFERENCES shop_tag (id)) INHERITS (shop_product)", {P}),
        ("CREATE TABLE x PARTITION OF shop_product DEFAULT", {P}),
        ("CREATE TABLE shop_tag (LIKE shop_product)", {T}),
        ("ALTER SCHEMA public RENAME TO was", {P, C, T}),
        ("DROP SCHEMA x CASCADE", {P, C, T}),
        ("TRUNCATE x CASCADE", {P, C, T}),
        ("TRUNCATE shop_tag CASCADE", {P, C, T}),
        ("TRUNCATE x", set()),
    ],
)
def test_a_definition_is_about_what_it_changes(sql: str, written: set[str]) -> None:
    assert analyze(sql, "postgresql", KNOWN).tables_written == written


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'",
        "CREATE OR REPLACE FUNCTION loud() RETURNS text AS 'SELECT 1' LANGUAGE sql",
        "CREATE FUNCTION loud() RETURNS text AS 'SELECT 1' LANGUAGE sql",
        "CREATE OR REPLACE VIEW x AS SELECT 1",
        "ALTER FUNCTION loud() RENAME TO louder",
        "ALTER TABLE x ATTACH PARTITION y DEFAULT",
        "DROP OWNED BY leaver",
        "DROP TABLE x",
        "DROP /* a /* b */ c */ TABLE x",
        "DROP VIEW x CASCADE",
        "DROP EXTENSION x CASCADE",
        "IMPORT FOREIGN SCHEMA x FROM SERVER y INTO z",
        "DO $$ BEGIN ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'; END $$",
        "CREATE OR REPLACE FUNCTION loud() RETURNS text AS '" + "x" * 70_000 + "' LANGUAGE sql",
    ],
)
def test_a_definition_that_names_no_table_may_be_about_any(sql: str) -> None:
    statement = analyze(sql, "postgresql", KNOWN)
    assert statement.tables_written == KNOWN
    assert statement.kinds == {"ddl"}


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE SCHEMA x",
        "CREATE TABLE x (id int)",
        "CREATE TEMP TABLE x AS SELECT 1",
        "CREATE VIEW x AS SELECT 1",
        "CREATE TYPE mood AS ENUM ('sad')",
        "CREATE INDEX x ON y (z)",
        "DROP INDEX x",
        "DROP TEMPORARY TABLE x",
        "ALTER SEQUENCE x RESTART",
        "ALTER SESSION SET TIME_ZONE = 'UTC'",
    ],
)
def test_a_definition_that_no_row_of_a_known_table_follows_is_about_none(sql: str) -> None:
    assert analyze(sql, "postgresql", KNOWN).tables_written == set()


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("SELECT * FROM shop_tag", {("shop_tag",)}),
        ("SELECT * FROM SHOP_TAG x", {("shop_tag",)}),
        ('SELECT * FROM "Shop_Tag"', {("Shop_Tag",)}),
        ('SELECT * FROM "a"."shop_tag" JOIN shop_tag ON true', {("a", "shop_tag"), ("shop_tag",)}),
        ('SELECT * FROM "a"."shop_tag", b.shop_tag', {("a", "shop_tag"), ("b", "shop_tag")}),
        ("COPY shop_tag TO STDOUT", {None}),
    ],
)
def test_what_is_read_is_named_as_the_text_does(sql: str, named: set[object]) -> None:
    assert {read.named for read in analyze(sql, "postgresql", KNOWN).reads} == named


@pytest.mark.parametrize("dialect", ALL)
@pytest.mark.parametrize(
    ("table", "spelled"),
    [
        ("odd.name", "odd.name"),
        ("a%b", "a%%b"),
        ("a%%b", "a%b"),
        ("x" * 80, "X" * 63),
        ("ä" * 40, "ä" * 31),
        ("Order", "order"),
    ],
)
def test_a_name_is_found_as_it_is_quoted(table: str, spelled: str, dialect: Dialect) -> None:
    quote = "`" if dialect == "mysql" else '"'
    sql = f"UPDATE {quote}{spelled}{quote} SET a = 1"
    assert analyze(sql, dialect, frozenset({table})).tables_written == {table}


@pytest.mark.parametrize("table", ['"a"."b"', 'a"."b', "`a`.`b`", "a`.`b"])
def test_a_schema_is_no_part_of_what_a_table_is_found_by(table: str) -> None:
    known = frozenset({table})
    assert analyze("UPDATE b SET a = 1", "postgresql", known).tables_written == known
    assert analyze("UPDATE `c`.`b` SET a = 1", "mysql", known).tables_written == known
    assert analyze("UPDATE a SET a = 1", "postgresql", known).tables_written == set()


def test_a_replacing_insert_is_one_behind_a_with_too() -> None:
    sql = "WITH x AS (SELECT 1) INSERT OR REPLACE INTO shop_tag SELECT * FROM x"
    assert analyze(sql, "sqlite", KNOWN).kinds == {"replace"}


@pytest.mark.parametrize("dialect", ALL)
def test_letters_that_change_with_their_case_are_found(dialect: Dialect) -> None:
    known = frozenset({"maße"})
    assert analyze("DELETE FROM maße", dialect, known).tables_written == {"maße"}
    assert analyze("UPDATE maße nonsense", dialect, known).tables_written == {"maße"}


def test_a_known_table_may_be_spelled_with_its_schema() -> None:
    known = frozenset({'stock"."item', "Mixed"})
    assert analyze('DELETE FROM "stock"."item"', "postgresql", known).tables_written == {
        'stock"."item'
    }
    assert analyze('DELETE FROM "Mixed"', "postgresql", known).tables_written == {"Mixed"}
