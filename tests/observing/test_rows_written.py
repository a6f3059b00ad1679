"""Which rows a statement with its parameters writes, and which tags stand for what it reads."""

from uuid import UUID

import pytest
from django.db import connections

from cache_invalidation import ModelInvalidation, registry
from cache_invalidation.observing.rows_written import analyze, rows_written
from cache_invalidation.observing.tags_read import ROWS_READ_LIMIT, tags_read
from tests.testapp.models import Counter, Place, Product, Restaurant
from tests.testapp.unusual import Composite, Generated, Mail

KEY = UUID("0f0e0d0c-0b0a-0908-0706-050403020100")

UPDATE = "UPDATE testapp_product SET name = 'x' WHERE id"
DELETE = "DELETE FROM testapp_product WHERE id"
INSERT = "INSERT INTO testapp_product (id, name) VALUES"


def written(sql, params=None, many=False, using="default"):
    connection = connections[using]
    return rows_written(analyze(connection, sql), params, many, connection)


def keys(sql, params=None, many=False, using="default"):
    """Return the primary keys of the rows that are written, None if they are not known."""
    (found,) = written(sql, params, many, using)
    return found.keys


def reads(sql, params=None, many=False, using="default"):
    """Return all tags that stand for what is read."""
    connection = connections[using]
    found = tags_read(analyze(connection, sql), params, many, connection)
    return {tag for tags in found.values() for tag in tags}


@pytest.mark.parametrize("using", ["default", "sqlite"])
@pytest.mark.parametrize(
    ("sql", "params", "expected"),
    [
        (f"{UPDATE} = 3", None, (3,)),
        (f"{UPDATE} = %s", [3], (3,)),
        (f"{UPDATE} = %s", ("3",), (3,)),
        (f"{UPDATE} = %(pk)s", {"pk": 3}, (3,)),
        (f"{UPDATE} IN (%s, %s)", [3, 4], (3, 4)),
        (f"{UPDATE} IN (%s, 4, %s)", [3, 3], (3, 4)),
        (f"{UPDATE} IN (%(a)s, %(b)s)", {"b": 4, "a": 3}, (3, 4)),
        (f"{DELETE} = %s", [3], (3,)),
        (f"{DELETE} = %s AND name = %s", [3, "x"], (3,)),
        (f"{INSERT} (%s, %s)", [3, "x"], (3,)),
        (f"{INSERT} (%s, %s), (%s, %s)", [3, "x", 4, "y"], (3, 4)),
        (f"{INSERT} (%(pk)s, %(name)s)", {"pk": 3, "name": "x"}, (3,)),
        ("UPDATE testapp_product SET name = %s WHERE id = %s", ["x", 3], (3,)),
        # Not known
        (UPDATE.partition(" WHERE")[0], None, None),
        (f"{UPDATE} > %s", [3], None),
        (f"{UPDATE} = %s OR id = %s", [3, 4], None),
        (f"NOT {UPDATE} = %s", [3], None),
        (f"{UPDATE} = %s + 1", [3], None),
        (f"{UPDATE} = stock", None, None),
        (f"{UPDATE} IN (SELECT id FROM testapp_product)", None, None),
        ("UPDATE testapp_product SET id = %s WHERE id = %s", [4, 3], None),
        ("UPDATE testapp_product SET name = 'x', ID = 4 WHERE id = %s", [3], None),
        ("INSERT INTO testapp_product (name) VALUES (%s)", ["x"], None),
        ("INSERT INTO testapp_product VALUES (%s, %s)", [3, "x"], None),
        ("INSERT INTO testapp_product (id, name) SELECT 3, 'x'", None, None),
        (f"{INSERT} (NULL, 'x')", None, None),
        (f"{INSERT} (%s, 'x')", [None], None),
        (f"{INSERT} (%s + 1, 'x')", [3], None),
        (f"{INSERT} (%s, 'x'), (DEFAULT, 'y')", [3], None),
        # Wrong, and the database will say so
        (f"{UPDATE} = %s", [], None),
        (f"{UPDATE} = %s", None, None),
        (f"{UPDATE} = %(pk)s", {"id": 3}, None),
        (f"{UPDATE} = %(pk)s", [3], None),
        (f"{UPDATE} = %s", {"id": 3}, None),
        (f"{UPDATE} = %s", 3, None),
        (f"{UPDATE} = %s", [object()], None),
        (f"{UPDATE} = %s", ["x"], None),
        (f"{UPDATE} = %s", [float("nan")], None),
    ],
)
def test_rows_are_known_where_the_statement_names_them(sql, params, expected, using):
    found = written(sql, params, using=using)
    assert {each.keys for each in found} == {expected}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ([[3, 4, 3]], (3, 4)),
        ([(3,)], (3,)),
        ([[]], ()),
        ([["3"]], (3,)),
        ([3], None),
        ([None], None),
        ([[3, None]], None),
        ([{3, 4}], None),
        (["{3,4}"], None),
        ([iter([3])], None),
    ],
)
def test_an_array_names_each_of_its_elements(params, expected):
    if connections["default"].vendor == "sqlite":
        pytest.skip("has no arrays")
    assert keys(f"{UPDATE} = ANY(%s)", params) == expected


def test_several_sets_of_parameters_name_the_rows_of_all_of_them():
    assert keys(f"{UPDATE} = %s", [[3], [4], [3]], many=True) == (3, 4)
    assert keys(f"{UPDATE} = %(a)s", ({"a": 3}, {"a": 4}), many=True) == (3, 4)
    assert keys(f"{UPDATE} = %s", [[3], ["x"]], many=True) is None
    assert keys(f"{UPDATE} = %s", [], many=True) == ()


def test_parameters_that_can_be_looked_at_only_once_are_left_to_the_database():
    params = iter([[3], [4]])
    assert keys(f"{UPDATE} = %s", params, many=True) is None
    assert list(params) == [[3], [4]]


def test_a_composite_key_is_named_by_all_of_its_columns():
    sql = 'UPDATE testapp_composite SET "group" = 1 WHERE tenant = %s AND number = %s'
    assert keys(sql, [1, str(KEY)]) == ((1, KEY),)
    assert keys("DELETE FROM testapp_composite WHERE tenant = %s", [1]) is None
    assert (
        keys("DELETE FROM testapp_composite WHERE tenant IN (1, 2) AND number = %s", [KEY]) is None
    )
    sql = 'INSERT INTO testapp_composite (number, "group", tenant) VALUES (%s, 0, %s)'
    assert keys(sql, [KEY, 1]) == ((1, KEY),)
    assert (
        keys("UPDATE testapp_composite SET tenant = 2 WHERE tenant = 1 AND number = %s", [KEY])
        is None
    )
    assert written(sql, [KEY, 1])[0].model is Composite


@pytest.mark.parametrize(("limit", "expected"), [(3, (1, 2, 3)), (2, None)])
def test_more_rows_than_the_limit_count_as_unknown(limit, expected, settings):
    settings.CACHE_INVALIDATION = {"ROW_TAG_LIMIT": limit}
    assert keys(f"{UPDATE} IN (%s, %s, %s)", [1, 2, 3]) == expected
    assert keys(f"{UPDATE} = %s", [[1], [2], [3]], many=True) == expected
    assert keys(f"{UPDATE} IN (%s, %s)", [[1, 2], [3, 1]], many=True) == expected
    assert keys(f"{INSERT} (1, 'x'), (2, 'x'), (%s, 'x')", [3]) == expected
    if connections["default"].vendor == "postgresql":
        assert keys(f"{UPDATE} = ANY(%s)", [[1, 2, 3]]) == expected


def test_a_key_that_the_database_spells_in_its_own_way_is_not_known():
    assert keys("DELETE FROM testapp_mail WHERE id = %s", [3]) == (3,)
    assert keys("DELETE FROM testapp_mail WHERE address = %s", ["a"]) is None
    assert written("DELETE FROM testapp_mail")[0].model is Mail


def test_an_insert_that_may_update_concerns_rows_that_are_not_known():
    sql = f"{INSERT} (3, 'x') ON CONFLICT (slug) DO UPDATE SET name = 'y'"
    found = {each.operation: each.keys for each in written(sql)}
    assert found == {"create": (3,), "update": None}
    assert keys(f"{INSERT} (3, 'x') ON CONFLICT DO NOTHING") == (3,)


def test_a_row_that_takes_the_place_of_another_is_not_known():
    assert (
        keys(f"INSERT OR REPLACE {INSERT.removeprefix('INSERT')} (3, 'x')", using="sqlite") is None
    )
    assert keys(f"REPLACE {INSERT.removeprefix('INSERT')} (3, 'x')", using="sqlite") is None


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (f"{UPDATE} = 3", {"name"}),
        ("UPDATE testapp_product SET CATEGORY_ID = 1, stock = stock + 1", {"category", "stock"}),
        ("UPDATE testapp_product SET no_such_column = 1", None),
        (f"{DELETE} = 3", None),
        (f"{INSERT} (3, 'x')", None),
        ("TRUNCATE testapp_product", None),
    ],
)
def test_the_fields_of_an_update_are_those_it_assigns(sql, expected):
    (found,) = written(sql)
    assert found.fields == expected


def test_what_an_update_assigns_is_not_all_that_changes_where_columns_are_generated():
    (found,) = written("UPDATE testapp_generated SET number = 1")
    assert found.model is Generated
    assert found.fields == {"number", "double"}


def test_nothing_is_said_of_tables_that_nobody_watches(settings):
    assert written("DELETE FROM django_session") == []
    assert written("DELETE FROM no_such_table") == []
    settings.CACHE_INVALIDATION = {"EXCLUDE": ["testapp.Product"]}
    assert written(f"{DELETE} = 3") == []


@pytest.mark.parametrize(
    ("sql", "params", "expected"),
    [
        ("SELECT * FROM testapp_product WHERE id = %s", ["3"], {"testapp.product:3"}),
        (
            "SELECT * FROM testapp_product WHERE id IN (%s, %s)",
            [3, 4],
            {"testapp.product:3", "testapp.product:4"},
        ),
        ("SELECT * FROM testapp_product WHERE id = %s", ["x"], {"testapp.product"}),
        ("SELECT * FROM testapp_product WHERE id = %s", [], {"testapp.product"}),
        ("SELECT * FROM testapp_product WHERE NOT (id = %s)", [3], {"testapp.product"}),
        ("SELECT * FROM testapp_product WHERE id = %s OR stock = 1", [3], {"testapp.product"}),
        (
            "SELECT * FROM testapp_product p LEFT JOIN testapp_category c ON c.id = p.category_id"
            " WHERE p.id = %s",
            [3],
            {"testapp.product:3", "testapp.category"},
        ),
        (
            "SELECT * FROM testapp_product WHERE id = 3 UNION SELECT * FROM testapp_product",
            None,
            {"testapp.product", "testapp.product:3"},
        ),
        ("SELECT (SELECT max(id) FROM testapp_tag)", None, {"testapp.tag"}),
        ("SELECT * FROM testapp_mail WHERE id = 1", None, {"testapp.mail:1"}),
        ("SELECT * FROM django_session", None, {"sessions.session"}),
        (
            "SELECT * FROM testapp_composite WHERE tenant = 1 AND number = %s",
            [KEY],
            {f"testapp.composite:(1, {KEY!r})"},
        ),
        ("SELECT 1", None, set()),
    ],
)
def test_what_is_read_by_key_is_a_row_and_all_else_a_table(sql, params, expected):
    assert reads(sql, params) == expected


@pytest.mark.parametrize("name", ["rowid", "OID", '"_rowid_"'])
def test_a_key_may_be_assigned_under_the_name_that_sqlite_has_for_it(name):
    sql = f"UPDATE testapp_product SET {name} = 9 WHERE id = 3"
    assert keys(sql, using="sqlite") is None
    assert keys(sql) == (3,)


def test_many_keys_are_the_table():
    marks = ", ".join(["%s"] * (ROWS_READ_LIMIT + 1))
    sql = f"SELECT * FROM testapp_product WHERE id IN ({marks})"
    assert reads(sql, list(range(ROWS_READ_LIMIT + 1))) == {"testapp.product"}
    sql = sql.replace(", %s", "", 1)
    assert len(reads(sql, list(range(ROWS_READ_LIMIT)))) == ROWS_READ_LIMIT


def test_one_row_of_a_table_and_all_of_it_are_both_named():
    sql = "SELECT * FROM testapp_product a, testapp_product b WHERE a.id = 3"
    assert reads(sql) == {"testapp.product", "testapp.product:3"}


def test_what_is_read_by_a_tracked_field_are_the_rows_with_that_value():
    class Rule(ModelInvalidation):
        track = ["category", "name"]

    with registry.override(Product, Rule):
        found = reads("SELECT * FROM testapp_product WHERE category_id = %s", ["3"])
        assert found == {"testapp.product.category_id:3"}
        found = reads("SELECT * FROM testapp_product WHERE name IN (%s, %s)", ["a*", "b"])
        assert found == {"testapp.product.name:a%2A", "testapp.product.name:b"}
        found = reads("SELECT * FROM testapp_product WHERE category_id = 3 AND id = 4")
        assert found == {"testapp.product:4"}
        for sql in (
            "category_id IS NULL",
            "category_id > 3",
            "name = 3",
            "name LIKE 'a'",
            "slug = 1",
        ):
            assert reads(f"SELECT * FROM testapp_product WHERE {sql}") == {"testapp.product"}
    assert reads("SELECT * FROM testapp_product WHERE category_id = 3") == {"testapp.product"}


def test_a_tracked_field_of_a_parent_does_not_narrow_what_is_read_of_the_child():
    class Rule(ModelInvalidation):
        track = ["city"]

    with registry.override(Place, Rule):
        sql = (
            "SELECT * FROM testapp_restaurant r INNER JOIN testapp_place p ON r.place_ptr_id = p.id"
            " WHERE p.city = %s"
        )
        assert reads(sql, ["Rome"]) == {"testapp.restaurant", "testapp.place.city:Rome"}
    assert issubclass(Restaurant, Place)


def test_a_key_with_everything_in_it_has_the_tag_that_writers_use():
    class Rule(ModelInvalidation):
        track = ["name"]

    with registry.override(Counter, Rule):
        long = "x" * 400
        (tag,) = reads("SELECT * FROM testapp_counter WHERE name = %s", [long])
        assert len(tag) <= 250
        assert tag.startswith("testapp.counter.name:")
