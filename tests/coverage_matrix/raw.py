"""SQL that the project writes itself, on a cursor of Django."""

from typing import Any

from django.db import connections

from tests.coverage_matrix.ways import DELETED, VALUES, But, Section
from tests.coverage_matrix.world import World
from tests.testapp.matrix import Item

section = Section("SQL on a cursor")
ITEM = "testapp_item"
# On SQLite a statement that returns rows is committed once they have been fetched.
RETURNING = (But(goes="table", database="SQLite", rule=True),)
COLUMNS = f"INSERT INTO {ITEM} (code, name, number, topic_id, box_id)"
COLUMNS_WITH_KEY = f"INSERT INTO {ITEM} (id, code, name, number, topic_id, box_id)"


def execute(world: World, sql: Any, params: Any = None) -> None:
    with connections[world.alias].cursor() as cursor:
        cursor.execute(sql, params)


@section.way("`UPDATE … WHERE id = %s`", seen="statement")
def raw_update(world: World) -> None:
    execute(world, f"UPDATE {ITEM} SET number = 2 WHERE id = %s", [world.item.pk])


@section.way("`UPDATE … WHERE id = %(id)s`", seen="statement")
def raw_update_named(world: World) -> None:
    sql = f"UPDATE {ITEM} SET number = %(number)s WHERE id = %(id)s"
    execute(world, sql, {"id": world.item.pk, "number": 2})


@section.way("`UPDATE … WHERE id IN (…)`", seen="statement")
def raw_update_in(world: World) -> None:
    sql = f"UPDATE {ITEM} SET number = 2 WHERE id IN (%s, %s)"
    execute(world, sql, [world.item.pk, world.loose.pk])


@section.way("`UPDATE … WHERE` anything else", seen="statement", goes="table")
def raw_update_by_value(world: World) -> None:
    execute(world, f"UPDATE {ITEM} SET number = 2 WHERE code = %s", ["item"])


@section.way("`UPDATE … FROM`", seen="statement", goes="table")
def raw_update_from(world: World) -> None:
    sql = (
        f"UPDATE {ITEM} SET number = 2 FROM testapp_topic AS topic"
        f" WHERE topic.id = {ITEM}.topic_id AND topic.name = %s"
    )
    execute(world, sql, ["1"])


@section.way("`UPDATE … RETURNING`", seen="statement", but=RETURNING, lingers="SQLite")
def raw_update_returning(world: World) -> None:
    with connections[world.alias].cursor() as cursor:
        sql = f"UPDATE {ITEM} SET number = 2 WHERE id = %s RETURNING number"
        cursor.execute(sql, [world.item.pk])
        assert cursor.fetchall() == [(2,)]


@section.way("`UPDATE` in another database", seen="statement", second=True)
def raw_update_using(world: World) -> None:
    execute(world, f"UPDATE {ITEM} SET number = 2 WHERE id = %s", [world.item.pk])


@section.way(
    '`Model.objects.raw("UPDATE … RETURNING")`', seen="statement", but=RETURNING, lingers="SQLite"
)
def raw_manager(world: World) -> None:
    sql = f"UPDATE {ITEM} SET number = 2 WHERE id = %s RETURNING *"
    assert [item.number for item in world.objects(Item).raw(sql, [world.item.pk])] == [2]


@section.way("`UPDATE` as psycopg's `sql.Composed`", seen="statement", databases=("PostgreSQL",))
def raw_composed(world: World) -> None:
    from psycopg import sql

    update = sql.SQL("UPDATE {} SET {} = 2 WHERE {} = %s")
    execute(world, update.format(*map(sql.Identifier, (ITEM, "number", "id"))), [world.item.pk])


@section.way(
    "`INSERT` without a primary key", seen="statement", goes="table", target="new", changes=VALUES
)
def raw_insert(world: World) -> None:
    execute(world, f"{COLUMNS} VALUES ('new', 'new', 1, %s, 1)", [world.topic.pk])


@section.way("`INSERT` with a primary key", seen="statement", target="new", changes=VALUES)
def raw_insert_with_key(world: World) -> None:
    params = [world.next_key(), world.topic.pk]
    execute(world, f"{COLUMNS_WITH_KEY} VALUES (%s, 'new', 'new', 1, %s, 1)", params)


@section.way("`INSERT … SELECT`", seen="statement", goes="table", target="new", changes=VALUES)
def raw_insert_select(world: World) -> None:
    sql = f"{COLUMNS} SELECT 'new', name, number, topic_id, 1 FROM {ITEM} WHERE id = %s"
    execute(world, sql, [world.item.pk])


@section.way("`INSERT … ON CONFLICT DO UPDATE`", seen="statement", goes="table")
def raw_upsert(world: World) -> None:
    sql = (
        f"{COLUMNS} VALUES ('item', 'new', 2, %s, 1)"
        " ON CONFLICT (code) DO UPDATE SET number = EXCLUDED.number"
    )
    execute(world, sql, [world.topic.pk])


@section.way(
    "`REPLACE INTO`",
    seen="statement",
    goes="table",
    databases=("SQLite",),
    target="loose",
    changes=VALUES,
)
def raw_replace(world: World) -> None:
    sql = f"{COLUMNS_WITH_KEY} VALUES (%s, 'loose', 'written', 2, %s, 1)".replace(
        "INSERT", "REPLACE"
    )
    execute(world, sql, [world.loose.pk, world.topic.pk])


@section.way("`MERGE`", seen="statement", goes="table", databases=("PostgreSQL",))
def raw_merge(world: World) -> None:
    sql = (
        f"MERGE INTO {ITEM} USING (VALUES (%s)) AS given (code) ON {ITEM}.code = given.code"
        " WHEN MATCHED THEN UPDATE SET number = 2"
    )
    execute(world, sql, ["item"])


@section.way("`DELETE … WHERE id = %s`", seen="statement", target="loose", changes=VALUES)
def raw_sql_delete(world: World) -> None:
    execute(world, f"DELETE FROM {ITEM} WHERE id = %s", [world.loose.pk])


@section.way(
    "`DELETE … WHERE` anything else",
    seen="statement",
    goes="table",
    target="loose",
    changes=VALUES,
)
def raw_delete_where(world: World) -> None:
    execute(world, f"DELETE FROM {ITEM} WHERE code = 'loose'")


@section.way(
    "`TRUNCATE … CASCADE`",
    seen="statement",
    goes="everything",
    changes=DELETED - {"generic"},
    databases=("PostgreSQL",),
    note="Tables without a model may lead from one to another.",
)
def raw_truncate(world: World) -> None:
    execute(world, f"TRUNCATE {ITEM} CASCADE")


@section.way(
    "A CTE that writes, `WITH … AS (UPDATE …) SELECT`",
    seen="statement",
    databases=("PostgreSQL",),
)
def raw_cte(world: World) -> None:
    sql = (
        f"WITH written AS (UPDATE {ITEM} SET number = 2 WHERE id = %s RETURNING id)"
        " SELECT count(*) FROM written"
    )
    execute(world, sql, [world.item.pk])


@section.way("`WITH … UPDATE`", seen="statement", goes="table")
def raw_with_update(world: World) -> None:
    sql = (
        "WITH found AS (SELECT id FROM testapp_topic WHERE name = %s)"
        f" UPDATE {ITEM} SET number = 2 WHERE topic_id IN (SELECT id FROM found)"
    )
    execute(world, sql, ["1"])


@section.way("Several statements in one string", seen="statement", databases=("PostgreSQL",))
def raw_several(world: World) -> None:
    pk = world.item.pk
    execute(world, f"SELECT 1; UPDATE {ITEM} SET number = 2 WHERE id = {pk}; SELECT 2")


@section.way("`executemany` of `UPDATE … WHERE id = %s`", seen="statement")
def raw_executemany(world: World) -> None:
    with connections[world.alias].cursor() as cursor:
        sql = f"UPDATE {ITEM} SET number = %s WHERE id = %s"
        cursor.executemany(sql, [(2, world.item.pk), (3, world.loose.pk)])


@section.way(
    "`executemany` of `INSERT`", seen="statement", goes="table", target="new", changes=VALUES
)
def raw_executemany_insert(world: World) -> None:
    with connections[world.alias].cursor() as cursor:
        sql = f"{COLUMNS} VALUES (%s, 'new', 1, %s, 1)"
        cursor.executemany(sql, [("new", world.topic.pk), ("newer", world.topic.pk)])


@section.way(
    "`INSERT` into the table between",
    seen="statement",
    changes={"many_to_many", "many_to_many_reverse"},
)
def raw_insert_between(world: World) -> None:
    sql = "INSERT INTO testapp_item_labels (item_id, label_id) VALUES (%s, %s)"
    execute(world, sql, [world.item.pk, world.spare_label.pk])
