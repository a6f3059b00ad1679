"""Tables that are joined by key, and are not as Django would have made them."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, models

from tests.cursors import execute
from tests.observing.relations.conftest import make_model, model_of
from tests.reads.test_joins import Counted

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


def referring(target: Any, column: str = "of_id", **others: Any) -> Any:
    of = models.ForeignKey(
        target, models.DO_NOTHING, db_column=column, null=True, related_name="asking"
    )
    return make_model("Asking", "asking", of=of, **others)


def shown(rows: Any) -> Callable[[], Any]:
    return lambda: [(each.pk, each.of and each.of.name) for each in rows.order_by("pk")]


@pytest.mark.parametrize(
    ("using", "declared", "value"),
    [("default", "char(20)", "ab"), ("sqlite", "varchar(20) COLLATE NOCASE", "AB")],
)
def test_a_key_that_is_compared_in_another_way_than_what_refers_to_it(
    define, using, declared, value
):
    define(
        using, "CREATE TABLE shown (code varchar(20) PRIMARY KEY, name text)", "DROP TABLE shown"
    )
    define(
        using,
        f"CREATE TABLE asking (id integer PRIMARY KEY, of_id {declared})",
        "DROP TABLE asking",
    )
    target = model_of("shown", code=models.CharField(max_length=20, primary_key=True))
    rows = referring(target).objects.using(using).select_related("of")
    execute(using, f"INSERT INTO asking VALUES (1, '{value}')")
    target.objects.using(using).create(code="ab", name="old")
    read = Counted(shown(rows))
    read.stays(lambda: target.objects.using(using).filter(pk="ab").update(name="new"))
    assert read() == [(1, "new")]


def test_columns_that_differ_in_case_alone(define):
    define("default", "CREATE TABLE shown (id integer PRIMARY KEY, name text)", "DROP TABLE shown")
    define(
        "default",
        'CREATE TABLE asking (id integer PRIMARY KEY, "OF" integer, "of" integer)',
        "DROP TABLE asking",
    )
    target = model_of("shown")
    model = referring(target, "of")
    # After the other one.
    models.IntegerField(db_column="OF", null=True).contribute_to_class(model, "other")
    one = target.objects.create(pk=1, name="1")
    target.objects.create(pk=2, name="2")
    model.objects.create(pk=1, of=one, other=2)
    read = Counted(shown(model.objects.select_related("of")))
    read.stays(lambda: target.objects.filter(pk=1).update(name="new"))


def test_a_constraint_on_another_column_that_differs_in_case_alone(define):
    define("default", "CREATE TABLE shown (id integer PRIMARY KEY, name text)", "DROP TABLE shown")
    define(
        "default",
        "CREATE TABLE asking (id integer PRIMARY KEY,"
        ' "OF" integer NOT NULL REFERENCES shown, "of" integer NOT NULL)',
        "DROP TABLE asking",
    )
    target = model_of("shown")
    model = referring(target, "of", other=models.IntegerField(db_column="OF"))
    model._meta.get_field("of").null = False
    target.objects.create(pk=1, name="1")
    model.objects.create(pk=1, of_id=2, other=1)
    read = Counted(shown(model.objects.select_related("of")))
    assert read() == []
    read.stays(lambda: target.objects.create(pk=2, name="2"))


def test_a_constraint_to_a_table_of_that_name_in_another_schema(define):
    define("default", "CREATE SCHEMA tenant", "DROP SCHEMA tenant CASCADE")
    for schema in ("public", "tenant"):
        define(
            "default",
            f"CREATE TABLE {schema}.shown (id integer PRIMARY KEY, name text)",
            f"DROP TABLE {schema}.shown CASCADE",
        )
    define(
        "default",
        "CREATE TABLE public.asking (id integer PRIMARY KEY,"
        " of_id integer NOT NULL REFERENCES public.shown)",
        "DROP TABLE public.asking",
    )
    target = model_of("shown")
    model = referring(target)
    model._meta.get_field("of").null = False
    execute("default", "INSERT INTO public.shown VALUES (1, 'public')")
    model.objects.create(pk=1, of_id=1)
    connection.connection.execute("SET search_path = tenant, public")
    try:
        read = Counted(shown(model.objects.select_related("of")))
        assert read() == []
        read.stays(lambda: target.objects.create(pk=1, name="tenant"))
    finally:
        connection.connection.execute("SET search_path = public")


def test_a_constraint_whose_triggers_are_disabled(define):
    define("default", "CREATE TABLE shown (id integer PRIMARY KEY, name text)", "DROP TABLE shown")
    define(
        "default",
        "CREATE TABLE asking (id integer PRIMARY KEY, of_id integer NOT NULL REFERENCES shown)",
        "DROP TABLE asking",
    )
    define("default", "ALTER TABLE asking DISABLE TRIGGER ALL")
    target = model_of("shown")
    model = referring(target)
    model._meta.get_field("of").null = False
    model.objects.create(pk=1, of_id=2)
    read = Counted(shown(model.objects.select_related("of")))
    assert read() == []
    read.stays(lambda: target.objects.create(pk=2, name="2"))


@pytest.mark.parametrize("using", ["default", "sqlite"])
def test_keys_that_nothing_keeps_unique(define, using):
    """Rows that are left out by OFFSET count as often as there are rows of their key."""
    define(using, "CREATE TABLE shown (id integer, name text)", "DROP TABLE shown")
    define(
        using, "CREATE TABLE asking (id integer PRIMARY KEY, of_id integer)", "DROP TABLE asking"
    )
    target = model_of("shown")
    rows = referring(target).objects.using(using)
    for pk in (1, 2):
        target.objects.using(using).create(pk=pk, name=f"{pk}")
        rows.create(pk=pk, of_id=pk)
    second = rows.select_related("of").order_by("pk")
    read = Counted(lambda: [(each.pk, each.of.name) for each in second[1:2]])
    assert read() == [(2, "2")]
    insert = target(pk=1, name="1")
    read.stays(lambda: insert.save(using=using, force_insert=True))
