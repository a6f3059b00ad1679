"""Columns that the database compares in another way than Django's field says."""

from typing import Any
from uuid import UUID

import pytest
from django.db import connections, models

from cache_invalidation import ModelInvalidation, cached, registry
from cache_invalidation.exceptions import CacheDependencyWarning
from cache_invalidation.explain import explain_sql
from tests.cursors import execute
from tests.observing.relations.conftest import make_model

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

KEY = UUID("0f0e0d0c-0b0a-0908-0706-050403020abc")
# As for one of ICU under which "ab" is "AB"; the servers of the tests are built without it.
FOLDING = (
    "CREATE COLLATION folding (provider = libc, locale = 'C');"
    "UPDATE pg_collation SET collisdeterministic = false WHERE collname = 'folding'"
)

# The database, the type of the column, the field, what is stored in it, and what is asked for.
Case = tuple[str, str, "models.Field[Any, Any]", Any, Any]
UNLIKE: dict[str, Case] = {
    "char": ("default", "char(10)", models.CharField(max_length=10), "ab", "ab"),
    "bpchar as text": ("default", "char(10)", models.TextField(), "ab", "ab   "),
    "domain": ("default", "padded", models.CharField(max_length=10), "ab", "ab"),
    "collation": (
        "default",
        "varchar(10) COLLATE folding",
        models.CharField(max_length=10),
        "ab",
        "ab",
    ),
    "shorter than any text": ("default", "varchar(5)", models.TextField(), "abcde", "abcde"),
    "shorter": ("default", "varchar(5)", models.CharField(max_length=10), "abcde", "abcde"),
    "collation of a text": ("default", "text COLLATE folding", models.TextField(), "ab", "ab"),
    "nocase": ("sqlite", "varchar(10) COLLATE NOCASE", models.CharField(max_length=10), "ab", "AB"),
    "rtrim": ("sqlite", "text COLLATE RTRIM", models.TextField(), "ab  ", "ab"),
    "quoted nocase": ("sqlite", 'text NOT NULL COLLATE "nocase"', models.TextField(), "ab", "AB"),
    "number for text": ("sqlite", "integer", models.CharField(max_length=10), "3", "03"),
    "STRING is a number": ("sqlite", "string", models.CharField(max_length=10), "3", "3.0"),
    "uuid in any case": (
        "sqlite",
        "char(32) COLLATE NOCASE",
        models.UUIDField(),
        KEY.hex.upper(),
        KEY,
    ),
}
ALIKE: dict[str, Case] = {
    "varchar": ("default", "varchar(10)", models.CharField(max_length=10), "ab", "ab"),
    "text": ("default", "text", models.CharField(max_length=10), "ab", "ab"),
    "C": ("default", 'varchar(10) COLLATE "C"', models.CharField(max_length=10), "ab", "ab"),
    "longer": ("default", "varchar(20)", models.CharField(max_length=10), "ab", "ab"),
    "uuid": ("default", "uuid", models.UUIDField(), KEY, KEY),
    "smallint": ("default", "smallint", models.BigIntegerField(), 3, 3),
    "SQLite text": ("sqlite", "text", models.CharField(max_length=10), "ab", "ab"),
    "SQLite varchar": ("sqlite", "varchar(10)", models.TextField(), "ab", "ab"),
    "SQLite uuid": ("sqlite", "char(32)", models.UUIDField(), KEY.hex, KEY),
    "SQLite integer": ("sqlite", "integer unsigned", models.IntegerField(), 3, 3),
    "SQLite strict": ("sqlite", "text", models.CharField(max_length=10), "ab", "ab"),
}


@pytest.fixture
def row(request, define):
    """A model of a table with one row, by its database and with what to ask for."""
    using, declared, field, stored, asked = request.param
    if "padded" in declared:
        define(using, "CREATE DOMAIN padded AS char(10)", "DROP DOMAIN padded")
    if "folding" in declared:
        define(using, FOLDING, "DROP COLLATION folding")
    column = field.clone()
    column.primary_key = column._unique = True
    define(
        using,
        f'CREATE TABLE legacy_row (code {declared}, "text" varchar(10), PRIMARY KEY (code))',
        "DROP TABLE legacy_row",
    )
    define(
        using,
        f"CREATE TABLE legacy_note (id integer PRIMARY KEY, code {declared}, rank integer)",
        "DROP TABLE legacy_note",
    )
    execute(using, "INSERT INTO legacy_row (code, text) VALUES (%s, 'old')", [stored])
    execute(using, "INSERT INTO legacy_note (id, code, rank) VALUES (1, %s, 1)", [stored])
    row = make_model("LegacyRow", "legacy_row", code=column, text=models.CharField(max_length=10))
    note = make_model(
        "LegacyNote",
        "legacy_note",
        code=models.ForeignKey(row, models.DO_NOTHING, db_column="code"),
        rank=models.IntegerField(),
    )
    return using, row, note, asked


def cases(*groups):
    found = {name: case for group in groups for name, case in group.items()}
    return pytest.mark.parametrize("row", list(found.values()), ids=list(found), indirect=True)


def reader(row):
    using, model, _, asked = row

    @cached(name="text of a row")
    def text():
        return model.objects.using(using).get(pk=asked).text

    return text


@cases(UNLIKE, ALIKE)
def test_a_row_is_never_stale_however_its_key_is_spelled(row):
    using, model, _, asked = row
    text = reader(row)
    assert text() == "old"
    found = model.objects.using(using).get(pk=asked)
    found.text = "saved"
    found.save()
    assert text() == "saved"
    model.objects.using(using).filter(pk=found.pk).update(text="updated")
    assert text() == "updated"
    execute(using, "UPDATE legacy_row SET text = 'raw' WHERE code = %s", [_raw(row, found.pk)])
    assert text() == "raw"
    assert model.objects.using(using).get(pk=asked).delete()[0] == 1
    with pytest.raises(model.DoesNotExist):
        text()


@cases(UNLIKE, ALIKE)
def test_a_rule_that_looks_at_values_is_told_of_rows_that_are_spelled_otherwise(row, deliveries):
    using, model, _, asked = row
    with registry.override(model, type("Rule", (ModelInvalidation,), {"tags": ["text:{text}"]})):
        text = reader(row)
        assert text() == "old"
        execute(using, "UPDATE legacy_row SET text = 'raw' WHERE code = %s", [_raw(row, asked)])
        assert text() == "raw"
        assert deliveries.family("text") in ({"text:old", "text:raw"}, {"text:*"})


@cases(UNLIKE, ALIKE)
def test_a_tracked_reference_is_never_stale_however_it_is_spelled(row):
    using, _, note, asked = row

    @cached(name="rank of a note")
    def rank():
        return list(note.objects.using(using).filter(code=asked).values_list("rank", flat=True))

    with registry.override(note, type("Rule", (ModelInvalidation,), {"track": ["code"]})):
        assert rank() == [1]
        found = note.objects.using(using).get(pk=1)
        found.rank = 2
        found.save()
        assert rank() == [2]
        found.delete()
        assert rank() == []


def _raw(row, pk):
    return row[1]._meta.pk.get_db_prep_value(pk, connections[row[0]])


@cases(ALIKE)
def test_a_column_as_django_makes_it_names_its_rows(row):
    using, model, *_ = row
    other = {"text": "zz", "uuid": UUID(int=7), "integer": 7}
    text = reader(row)
    assert text() == "old"
    kind = "uuid" if isinstance(model._meta.pk, models.UUIDField) else "text"
    kind = "integer" if isinstance(model._meta.pk, models.IntegerField) else kind
    model.objects.using(using).create(pk=other[kind], text="other")
    model.objects.using(using).filter(pk=other[kind]).update(text="still")
    with connections[using].execute_wrapper(_refuse):
        assert text() == "old"


@cases(UNLIKE)
def test_another_column_depends_on_the_table(row):
    using, model, *_ = row
    text = reader(row)
    assert text() == "old"
    with connections[using].execute_wrapper(_refuse):
        assert text() == "old"
    model.objects.using(using).filter(text="nobody").update(text="none")
    with connections[using].execute_wrapper(_refuse), pytest.raises(AssertionError):
        text()


def _refuse(execute: Any, *args: Any) -> Any:
    raise AssertionError("This should have been a hit.")


@cases(UNLIKE)
def test_tags_that_name_rows_of_such_a_table_are_reported(row):
    using, model, _, asked = row

    @cached(tags=["testapp.legacyrow:{pk}"], name="by its key")
    def text(pk):
        return model.objects.using(using).get(pk=pk).text

    with pytest.warns(CacheDependencyWarning, match="drop none of its tags"):
        text(asked)


@cases(UNLIKE)
def test_it_is_said_on_what_such_a_table_makes_a_statement_depend(row):
    using, _, _, asked = row
    explained = explain_sql(
        "SELECT * FROM legacy_row WHERE code = %s", [_raw(row, asked)], using=using
    )
    assert explained.reads == ("testapp.legacyrow",)


def test_columns_that_differ_in_case_only_are_not_taken_for_each_other(define):
    define(
        "default",
        'CREATE TABLE legacy_row (code varchar(10) PRIMARY KEY, "Code" varchar(10), text text)',
        "DROP TABLE legacy_row",
    )
    row = make_model(
        "LegacyRow",
        "legacy_row",
        code=models.CharField(max_length=10, primary_key=True),
        other=models.CharField(max_length=10, db_column="Code"),
        text=models.TextField(),
    )
    row.objects.create(code="a", other="b", text="old")

    @cached(name="by the other one")
    def text():
        return row.objects.get(other="b").text

    assert text() == "old"
    row.objects.filter(code="a").update(text="new")
    assert text() == "new"


def test_a_column_is_looked_at_again_when_it_has_been_altered(define):
    define(
        "default",
        "CREATE TABLE legacy_row (code varchar(10) PRIMARY KEY, text text)",
        "DROP TABLE legacy_row",
    )
    row = make_model(
        "LegacyRow",
        "legacy_row",
        code=models.CharField(max_length=10, primary_key=True),
        text=models.TextField(),
    )
    row.objects.create(code="ab", text="old")

    @cached(name="before and after")
    def text():
        return row.objects.get(code="ab").text

    assert text() == "old"
    execute("default", "ALTER TABLE legacy_row ALTER code TYPE char(10)")
    assert text() == "old"
    found = row.objects.get(code="ab")
    found.text = "new"
    found.save()
    assert text() == "new"
