"""Columns of other types than Django makes of the fields: they may change what they are given."""

from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any
from unittest import mock

import pytest
from django.apps import apps
from django.db import connections, models

from cache_invalidation import ModelInvalidation, registry
from cache_invalidation.observing import relations
from tests.cursors import execute
from tests.observing.relations.conftest import make_model
from tests.testapp.models import Category

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

PRICE = models.DecimalField(max_digits=10, decimal_places=2)

# The database, the type of the column, the field, what is given, and the tag of what is stored.
Case = tuple[str, str, "models.Field[Any, Any]", Any, str]
CASES: dict[str, Case] = {
    "fewer places": ("default", "numeric(10,1)", PRICE, Decimal("1.26"), "1.3"),
    "integer": ("default", "integer", PRICE, Decimal("1.26"), "1"),
    "padded": ("default", "char(5)", models.TextField(), "ab", "ab   "),
    "cut": ("default", "varchar(5)", models.TextField(), "abcde  ", "abcde"),
    "lower precision": ("default", "real", models.FloatField(), 0.1234567891, "0.12345679"),
    "whole seconds": ("default", "time(0)", models.TimeField(), time(1, 2, 3, 700000), "01:02:04"),
    "moment": (
        "default",
        "timestamptz(0)",
        models.DateTimeField(),
        datetime(2026, 1, 2, 3, 4, 5, 700000, UTC),
        "2026-01-02 03:04:06+00:00",
    ),
    "number": ("sqlite", "integer", models.CharField(max_length=9), "03", "3"),
    "number with places": ("sqlite", "real", models.CharField(max_length=9), "3", "3.0"),
}


class Told(ModelInvalidation):
    tags = ["value:{value}"]


@pytest.fixture
def make(define):
    def make(using, declared, field):
        define(
            using,
            f"CREATE TABLE other (id integer PRIMARY KEY, value {declared})",
            "DROP TABLE other",
        )
        key = models.IntegerField(primary_key=True)
        return make_model("Other", "other", id=key, value=field.clone())

    return make


@pytest.mark.parametrize("write", ["create", "save", "save a field", "update", "bulk_create"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_tag_is_that_of_what_is_stored(make, deliveries, case, write):
    using, declared, field, given, stored = case
    model = make(using, declared, field)
    rows = model.objects.using(using)
    execute(using, "INSERT INTO other (id) VALUES (1)")
    with registry.override(model, Told):
        if write == "create":
            rows.create(id=2, value=given)
        elif write == "bulk_create":
            rows.bulk_create([model(id=2, value=given)])
        elif write == "update":
            rows.filter(id=1).update(value=given)
        else:
            row = rows.get(id=1)
            row.value = given
            row.save(using=using, update_fields=["value"] if write == "save a field" else None)
    assert f"value:{stored}" in deliveries.tags


def test_a_key_that_the_column_changes_is_told_by_a_rule_that_looks_at_values(define, deliveries):
    define(
        "default",
        "CREATE TABLE other (code varchar(5) PRIMARY KEY, value integer)",
        "DROP TABLE other",
    )
    model = make_model(
        "Other",
        "other",
        code=models.TextField(primary_key=True),
        value=models.IntegerField(),
    )
    rule = type("Rule", (ModelInvalidation,), {"tags": ["code:{pk}", "value:{value}"]})
    with registry.override(model, rule):
        model(code="abcde  ", value=3).save()
    assert deliveries.tags & {"code:abcde", "code:*"}
    assert deliveries.tags & {"value:3", "value:*"}


@pytest.mark.parametrize("using", ["default", "sqlite"])
def test_columns_as_django_makes_them_keep_what_they_are_given(using):
    connection = connections[using]
    connection.ensure_connection()
    known = apps.get_models(include_auto_created=True)
    assert [model for model in known if not relations.keeps_values(connection, model)] == []


@pytest.mark.parametrize("using", ["default", "sqlite"])
def test_the_database_is_asked_once(using):
    rule = type("Rule", (ModelInvalidation,), {"track": ["name"]})
    with registry.override(Category, rule):
        row = Category.objects.using(using).create(name="a")
        with mock.patch.object(relations, "has_columns_of") as ask:
            row.save()
            Category.objects.using(using).create(name="b")
    assert not ask.called


def test_it_is_asked_again_when_a_column_was_altered(make, deliveries):
    model = make("default", "numeric(10,2)", PRICE)
    with registry.override(model, Told):
        model.objects.create(id=1, value=Decimal("1.26"))
        assert "value:1.26" in deliveries.tags
        execute("default", "ALTER TABLE other ALTER value TYPE numeric(10,1)")
        deliveries.clear()
        model.objects.create(id=2, value=Decimal("1.26"))
    assert "value:1.3" in deliveries.tags
