"""Definitions that change what is read, and name no table of a model."""

import pytest
from django.db import DatabaseError, models
from django.db.models import F, Func

from cache_invalidation import cached
from tests.cursors import execute
from tests.observing.relations.conftest import make_model, model_of, reader
from tests.testapp.models import Category

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

FUNCTION = "FUNCTION loud(varchar) RETURNS text AS 'SELECT {}($1)' LANGUAGE sql"


def test_values_of_an_enumeration_that_are_renamed(define):
    define("default", "CREATE TYPE mood AS ENUM ('sad')", "DROP TYPE mood")
    define("default", "CREATE TABLE shown (id integer, name mood)", "DROP TABLE shown")
    execute("default", "INSERT INTO shown VALUES (1, 'sad')")
    names = reader(model_of("shown"))
    assert names() == ["sad"]
    execute("default", "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'")
    assert names() == ["blue"]


@pytest.mark.parametrize(
    "define_anew",
    [
        f"CREATE OR REPLACE {FUNCTION.format('lower')}",
        "ALTER FUNCTION loud(varchar) RENAME TO was_loud; CREATE " + FUNCTION.format("lower"),
        f"DO $do$ BEGIN EXECUTE $$CREATE OR REPLACE {FUNCTION.format('lower')}$$; END $do$",
    ],
)
def test_a_function_that_is_replaced(define, define_anew):
    define("default", f"CREATE {FUNCTION.format('upper')}", "DROP FUNCTION loud(varchar)")
    Category.objects.create(name="Aa")

    @cached(name="loud")
    def loud():
        return Category.objects.values_list(Func(F("name"), function="loud"), flat=True).get()

    assert loud() == "AA"
    execute("default", define_anew)
    assert loud() == "aa"
    execute("default", "DROP FUNCTION IF EXISTS was_loud(varchar)")


def test_a_table_that_goes_with_its_owner(define):
    define("default", "CREATE ROLE leaver", "DROP ROLE leaver")
    define("default", "CREATE TABLE shown (id integer, name text)", "DROP TABLE IF EXISTS shown")
    execute("default", "ALTER TABLE shown OWNER TO leaver")
    names = reader(model_of("shown"))
    assert names() == []
    execute("default", "DROP OWNED BY leaver")
    with pytest.raises(DatabaseError, match="does not exist"):
        names()


def test_a_partition_without_a_model_that_is_dropped(define):
    define("default", "CREATE TABLE shown (id int, name text) PARTITION BY LIST (id)")
    define("default", "CREATE TABLE shown_1 PARTITION OF shown FOR VALUES IN (1)")
    define("default", "INSERT INTO shown VALUES (1, 'a')", "DROP TABLE shown")
    names = reader(model_of("shown"))
    assert names() == ["a"]
    execute("default", "DROP TABLE shown_1")
    assert names() == []


@pytest.mark.parametrize(
    ("using", "statement"), [("default", "TRUNCATE root CASCADE"), ("sqlite", "DROP TABLE root")]
)
def test_rows_that_go_with_those_of_a_table_without_a_model(define, using, statement):
    define(using, "CREATE TABLE root (id integer PRIMARY KEY)", "DROP TABLE IF EXISTS root")
    define(
        using,
        "CREATE TABLE leaf (id integer PRIMARY KEY REFERENCES root ON DELETE CASCADE)",
        "DROP TABLE leaf",
    )
    execute(using, "INSERT INTO root VALUES (1)")
    execute(using, "INSERT INTO leaf VALUES (1)")
    rows = make_model("Leaf", "leaf", id=models.AutoField(primary_key=True)).objects.using(using)

    @cached(name="number of leaves")
    def count():
        return rows.count()

    assert count() == 1
    execute(using, statement)
    assert count() == 0


@pytest.mark.parametrize(
    "statement",
    [
        """UPDATE U&"testapp_categor!0079" UESCAPE '!' SET name = 'b'""",
        "DO $$ BEGIN EXECUTE 'UPDATE testapp_' || 'category SET name = ''b'''; END $$",
        r"DO E'BEGIN UPDATE testapp_categor\171 SET name = ''b''; END'",
    ],
)
def test_a_write_whose_names_only_the_database_knows(statement):
    Category.objects.create(name="a")
    names = reader(Category)
    assert names() == ["a"]
    execute("default", statement)
    assert names() == ["b"]
