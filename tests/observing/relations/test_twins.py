"""Columns whose names are taken for one another."""

from typing import Any

import pytest
from django.db import models

from cache_invalidation import ModelInvalidation, cached, registry
from tests.cursors import execute
from tests.observing.relations.conftest import make_model
from tests.testapp.made import models_forgotten

pytestmark = [
    pytest.mark.django_db(transaction=True),
    # A function with tags is told to name the table, and need not do so.
    pytest.mark.filterwarnings("ignore::cache_invalidation.exceptions.CacheDependencyWarning"),
]


@pytest.fixture
def twin(define):
    """A model whose key differs from another column in case only."""
    define(
        "default",
        'CREATE TABLE twin ("Code" integer PRIMARY KEY, "code" integer, name text)',
        "DROP TABLE twin",
    )
    with models_forgotten():
        yield make_model(
            "Twin",
            "twin",
            a=models.IntegerField(primary_key=True, db_column="Code"),
            b=models.IntegerField(db_column="code"),
            name=models.TextField(),
        )


TWINS: dict[str, Any] = {
    "update": lambda twin: twin.objects.filter(b=2).update(name="new"),
    "raw update": lambda twin: execute("default", "UPDATE twin SET name = 'new' WHERE code = 2"),
    "delete": lambda twin: twin.objects.filter(b=2).delete(),
}


@pytest.mark.parametrize("write", TWINS.values(), ids=TWINS)
def test_rows_that_are_named_by_its_twin_are_not_taken_for_those_of_its_key(twin, write):
    twin.objects.create(a=1, b=2, name="old")

    @cached(name="by the key", tags=["testapp.twin:{a}"])
    def names(a):
        return list(twin.objects.filter(a=a).values_list("name", flat=True))

    assert names(1) == ["old"]
    write(twin)
    assert names(1) == names.uncached(1) != ["old"]


def test_a_row_that_is_inserted_is_not_named_by_the_twin_of_its_key(twin):
    @cached(name="by the key", tags=["testapp.twin:{a}"])
    def count(a):
        return twin.objects.filter(a=a).count()

    assert count(1) == 0
    execute("default", 'INSERT INTO twin (code, "Code", name) VALUES (2, 1, %s)', ["new"])
    assert count(1) == 1


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_rule_for_a_field_fires_whatever_else_its_name_is_that_of(define, deliveries, name):
    define(
        "default",
        "CREATE TABLE swap (id integer PRIMARY KEY, a integer, b integer)",
        "DROP TABLE swap",
    )
    swap = make_model(
        "Swap",
        "swap",
        id=models.IntegerField(primary_key=True),
        a=models.IntegerField(db_column="b"),
        b=models.IntegerField(db_column="a"),
    )
    swap.objects.create(id=1, a=1, b=2)
    rule = type("Rule", (ModelInvalidation,), {"fields": [name], "tags": ["swapped"]})
    with registry.override(swap, rule):
        swap.objects.update(**{name: 3})
    assert "swapped" in deliveries.tags
