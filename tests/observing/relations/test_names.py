"""Tables whose names have something in them that means something to SQL, or to somebody."""

import pytest
from django.db import connection, connections, models

from cache_invalidation import ModelInvalidation, cached, registry
from tests.cursors import execute
from tests.observing.relations.conftest import make_model

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

NAMES = [
    "odd.name",
    "two.dots.in it",
    ".begins",
    "ends.",
    ".",
    "two words",
    "order",
    "select",
    "user",
    "UPPER",
    "Mixed.Case",
    "ümläut",
    "straße",
    "名前",
    "[brackets]",
    "`ticks`",
    "it's",
    '"doubled""quote"',
    '"doubled"".""quotes"',
    "semi;colon",
    "-- no comment",
    "/* none */",
    "(bracket",
    "?",
    ":name",
    "1st",
    "e",
    "x" * 63,
]
PLACES = [
    *[("default", name) for name in NAMES],
    *[("sqlite", name) for name in NAMES],
    ("default", 'reporting"."monthly'),
    ("default", '"reporting"."monthly"'),
    ("default", 'reporting"."odd.name'),
    ("default", 're.porting"."monthly'),
    ("default", "y" * 62 + "üü"),
    ("default", "z" * 80),
    ("sqlite", "z" * 80),
    ("sqlite", "$$dollar$$"),
]


@pytest.fixture(params=PLACES, ids=lambda place: " ".join(place))
def odd(request):
    """A model of a table of that name, on that database."""
    using, table = request.param
    model = make_model(
        "Odd",
        table,
        name=models.CharField(max_length=100),
        code=models.CharField(max_length=10, default="c"),
    )
    model._meta.managed = True
    if "porting" in table:
        for schema in ("reporting", "re.porting"):
            execute(using, f'CREATE SCHEMA "{schema}"')
    with connections[using].schema_editor() as editor:
        editor.create_model(model)
    try:
        yield using, model
    finally:
        with connections[using].schema_editor() as editor:
            editor.delete_model(model)
        if "porting" in table:
            for schema in ("reporting", "re.porting"):
                execute(using, f'DROP SCHEMA "{schema}"')


def refuse(*args):
    raise AssertionError("This should have been a hit.")


def test_every_way_of_writing_is_seen(odd):
    using, model = odd
    table = connections[using].ops.quote_name(model._meta.db_table)
    rows = model.objects.using(using)
    with registry.override(model, type("Rule", (ModelInvalidation,), {"track": ["code"]})):
        rows.create(pk=1, name="created")

        @cached(name="name of an odd one")
        def name():
            return list(rows.filter(pk=1).values_list("name", flat=True))

        @cached(name="name by code")
        def by_code():
            return list(rows.filter(code="c").values_list("name", flat=True))

        def save():
            row = rows.get(pk=1)
            row.name = "saved"
            row.save()

        def bulk_update():
            rows.bulk_update([model(pk=1, name="bulk")], ["name"])

        def raw(name):
            execute(using, f"UPDATE {table} SET name = %s WHERE id = %s", [name, 1])

        def joined():
            execute(using, f"UPDATE {table} SET name = (SELECT 'joined') WHERE id IN (SELECT 1)")

        assert name() == by_code() == ["created"]
        for write, expected in (
            (save, ["saved"]),
            (lambda: rows.filter(pk=1).update(name="updated"), ["updated"]),
            (bulk_update, ["bulk"]),
            (lambda: raw("raw"), ["raw"]),
            (joined, ["joined"]),
            (lambda: rows.all().delete(), []),
            (lambda: rows.bulk_create([model(pk=1, name="bulk created")]), ["bulk created"]),
            (lambda: execute(using, f"DELETE FROM {table}"), []),
        ):
            write()
            assert name() == by_code() == expected


def test_what_is_read_by_key_is_a_row(odd):
    using, model = odd
    model.objects.using(using).create(pk=1, name="one")
    model.objects.using(using).create(pk=2, name="two")

    @cached(name="one odd one")
    def name(pk):
        return model.objects.using(using).get(pk=pk).name

    assert name(1) == "one"
    model.objects.using(using).filter(pk=2).update(name="other")
    with connections[using].execute_wrapper(refuse):
        assert name(1) == "one"
    model.objects.using(using).filter(pk=1).update(name="changed")
    assert name(1) == "changed"


def test_a_long_name_is_the_same_as_where_postgresql_cuts_it_off(define):
    define("default", f"CREATE TABLE {'z' * 63} (id integer PRIMARY KEY, name text)")
    define("default", "SELECT 1", f"DROP TABLE {'z' * 63}")
    long = make_model("Long", "z" * 80, name=models.TextField())
    long.objects.create(id=1, name="old")

    @cached(name="a long one")
    def name():
        return long.objects.get(pk=1).name

    assert name() == "old"
    execute("default", f"UPDATE {'Z' * 63} SET name = 'new'")
    assert name() == "new"


def test_the_same_name_in_two_schemas_is_two_tables(define):
    for schema in ("here", "there"):
        define("default", f"CREATE SCHEMA {schema}", f"DROP SCHEMA {schema} CASCADE")
        define("default", f"CREATE TABLE {schema}.thing (id integer PRIMARY KEY, name text)")
    here, there = (
        make_model(schema.title(), f'{schema}"."thing', name=models.TextField())
        for schema in ("here", "there")
    )
    for model in (here, there):
        for pk in (1, 2):
            model.objects.create(pk=pk, name="old")

    @cached(name="from both")
    def both():
        with connection.cursor() as cursor:
            cursor.execute(
                'SELECT "here"."thing"."name", "there"."thing"."name" FROM "here"."thing"'
                ' INNER JOIN "there"."thing" ON "there"."thing"."id" = "here"."thing"."id" + 1'
                ' WHERE "here"."thing"."id" = %s',
                [1],
            )
            return cursor.fetchall()

    assert both() == [("old", "old")]
    there.objects.filter(pk=2).update(name="new")
    assert both() == [("old", "new")]
    here.objects.filter(pk=1).update(name="new")
    assert both() == [("new", "new")]


def test_a_name_spelled_with_escapes_is_that_name(define):
    define("default", "CREATE TABLE plain_name (id integer PRIMARY KEY, name text)")
    define("default", "SELECT 1", "DROP TABLE plain_name")
    plain = make_model("Plain", "plain_name", name=models.TextField())
    plain.objects.create(id=1, name="old")

    @cached(name="a plain one")
    def name():
        return plain.objects.get(pk=1).name

    assert name() == "old"
    execute("default", "UPDATE U&\"pl\\0061in\\005fname\" SET name = 'new'")
    assert name() == "new"


def test_sqlite_takes_a_literal_for_a_name(define):
    define("sqlite", "CREATE TABLE plain_name (id integer PRIMARY KEY, name text)")
    define("sqlite", "SELECT 1", "DROP TABLE plain_name")
    plain = make_model("Plain", "plain_name", name=models.TextField())
    plain.objects.using("sqlite").create(id=1, name="old")

    @cached(name="a plain one")
    def name():
        return plain.objects.using("sqlite").get(pk=1).name

    assert name() == "old"
    execute("sqlite", "UPDATE 'plain_name' SET name = 'new'")
    assert name() == "new"
    execute("sqlite", "REPLACE INTO 'plain_name' (id, name) VALUES (1, 'replaced')")
    assert name() == "replaced"
