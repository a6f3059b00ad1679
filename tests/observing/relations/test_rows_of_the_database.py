"""Tables whose rows come, go or are shown as the database says, and not as they are written."""

import pytest
from django.db import connections, models, transaction

from cache_invalidation import cached
from tests.cursors import execute
from tests.observing.relations.conftest import (
    assert_not_stored,
    make_model,
    model_of,
    reader,
    refuse,
)
from tests.testapp.models import Category

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

OWNED = """
    CREATE TABLE owned (id integer PRIMARY KEY, name text);
    INSERT INTO owned VALUES (1, 'a'), (2, 'b');
    CREATE POLICY own ON owned USING (name = current_setting('app.who'));
    CREATE ROLE customer;
    GRANT SELECT ON owned TO customer
"""
PROTECT = "ALTER TABLE owned ENABLE ROW LEVEL SECURITY"


@pytest.fixture
def owned(define):
    define("default", OWNED, "DROP TABLE owned; DROP ROLE customer")
    return model_of("owned")


def as_customer(name, function, *args):
    with transaction.atomic():
        execute("default", "SET LOCAL ROLE customer")
        execute("default", f"SET LOCAL app.who = '{name}'")
        return function(*args)


def test_a_table_that_shows_each_session_its_own_rows_is_not_stored(owned):
    names = reader(owned)
    assert names() == ["a", "b"]
    execute("default", PROTECT)
    for _ in range(2):
        with pytest.warns(match="not stored.*the table with row level security owned"):
            assert as_customer("a", names) == ["a"]
        with pytest.warns(match="not stored"):
            assert as_customer("b", names) == ["b"]


def test_with_tags_the_arguments_tell_whose_rows_they_are(owned):
    execute("default", PROTECT)

    @cached(tags=["testapp.shown"])
    def names_of(who):
        return list(owned.objects.values_list("name", flat=True))

    for who in "ab":
        assert as_customer(who, names_of, who) == [who]
        with connections["default"].execute_wrapper(refuse):
            assert names_of(who) == [who]


@pytest.mark.parametrize(
    ("using", "table", "key"),
    [
        ("default", "pg_class", "relname"),
        ("default", 'pg_catalog"."pg_class', "relname"),
        ("sqlite", "sqlite_sequence", "name"),
    ],
)
def test_a_table_that_the_database_writes_itself_is_none(using, table, key):
    Category.objects.using(using).create(name="x")
    field = models.CharField(max_length=100, primary_key=True, db_column=key)
    assert_not_stored(reader(make_model("Kept", table, name=field), using), "the system table")


def test_a_part_of_a_virtual_table_is_none(define):
    define("sqlite", "CREATE VIRTUAL TABLE doc USING fts5(text)", "DROP TABLE doc")
    field = models.CharField(max_length=100, db_column="c0")
    part = make_model("Part", "doc_content", id=models.AutoField(primary_key=True), name=field)
    assert_not_stored(reader(part, "sqlite"), "the part of a virtual table")


@pytest.mark.parametrize(
    "name",
    [
        "name text UNIQUE ON CONFLICT REPLACE",
        "name text, UNIQUE (name) on conflict /* ! */ replace",
    ],
)
@pytest.mark.parametrize("write", ["create", "update"])
def test_a_row_that_another_one_replaces_is_gone(define, name, write):
    define("sqlite", f"CREATE TABLE one (id integer PRIMARY KEY, {name})", "DROP TABLE one")
    rows = model_of("one").objects.using("sqlite")

    @cached(name="is there")
    def is_there(pk):
        return rows.filter(pk=pk).exists()

    rows.create(id=1, name="a")
    assert is_there(1)
    if write == "create":
        rows.create(id=2, name="a")
    else:
        rows.create(id=2, name="b")
        assert is_there(1)
        rows.filter(id=2).update(name="a")
    assert not is_there(1)
