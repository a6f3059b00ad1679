"""Texts that are longer than their column, of which PostgreSQL cuts off spaces at the end."""

from typing import Any

import pytest
from django.db import models

from cache_invalidation import ModelInvalidation, cached, registry
from tests.cursors import execute
from tests.observing.relations.conftest import make_model

pytestmark = pytest.mark.django_db(transaction=True)

KEYS = {
    "any text": lambda: models.TextField(primary_key=True),
    "a longer one": lambda: models.CharField(max_length=50, primary_key=True),
    "as long": lambda: models.CharField(max_length=5, primary_key=True),
}
INSERTS: dict[str, Any] = {
    "save": lambda model, code: model(code=code).save(),
    "bulk_create": lambda model, code: model.objects.bulk_create([model(code=code)]),
    "raw SQL": lambda model, code: execute("default", "INSERT INTO cut VALUES (%s)", [code]),
    "many": lambda model, code: execute("default", "INSERT INTO cut VALUES (%s), ('x')", [code]),
}


@pytest.fixture
def cut(define):
    def make(column, field):
        define("default", f"CREATE TABLE cut ({column})", "DROP TABLE cut")
        return make_model("Cut", "cut", **{column.split()[0]: field})

    return make


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("insert", INSERTS.values(), ids=INSERTS)
def test_a_key_that_is_cut_is_told(cut, key, insert):
    model = cut("code varchar(5) PRIMARY KEY", key())

    @cached(name="by a key that is cut")
    def is_there(code):
        return model.objects.filter(pk=code).exists()

    assert not is_there("abcde")
    insert(model, "abcde  ")
    assert is_there("abcde")


@pytest.mark.parametrize("write", ["create", "update", "bulk_create", "raw SQL"])
@pytest.mark.parametrize(
    "field", [models.TextField(), models.CharField(max_length=50)], ids=["any text", "longer"]
)
def test_a_tracked_text_that_is_cut_is_told(define, field, write):
    define("default", "CREATE TABLE cut (id serial PRIMARY KEY, name varchar(5))", "DROP TABLE cut")
    key = models.AutoField(primary_key=True)
    model = make_model("Cut", "cut", id=key, name=field.clone())
    model.objects.create(name="x")

    @cached(name="by a text that is cut")
    def found(name):
        return model.objects.filter(name=name).count()

    with registry.override(model, type("Rule", (ModelInvalidation,), {"track": ["name"]})):
        assert found("abcde") == 0
        if write == "create":
            model.objects.create(name="abcde  ")
        elif write == "bulk_create":
            model.objects.bulk_create([model(name="abcde  ")])
        elif write == "update":
            model.objects.update(name="abcde  ")
        else:
            execute("default", "UPDATE cut SET name = %s", ["abcde  "])
        assert found("abcde") == 1
