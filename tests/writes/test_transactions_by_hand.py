"""Statements in a transaction that the project begins and ends by itself."""

import warnings

import pytest
from django.db import connections, transaction

from cache_invalidation import (
    CacheDependencyWarning,
    ModelInvalidation,
    cached,
    no_invalidation,
    registry,
)
from cache_invalidation.transactions import batches
from tests.cursors import execute
from tests.elsewhere import elsewhere
from tests.testapp.models import Category

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

UPDATE = "UPDATE testapp_category SET name = %s WHERE id = %s"


@pytest.fixture(params=["default", "sqlite"])
def using(request):
    return request.param


@pytest.fixture
def category(using):
    return Category.objects.using(using).create(name="old")


@cached(name="name of one category, by hand")
def name_of(pk, using):
    return Category.objects.using(using).values_list("name", flat=True).get(pk=pk)


def test_a_transaction_that_is_managed_by_hand_is_told_of_at_its_commit(using, category):
    assert name_of(category.pk, using) == "old"
    transaction.set_autocommit(False, using=using)
    try:
        execute(using, UPDATE, ["new", category.pk])
        assert name_of(category.pk, using) == "new"
        assert elsewhere(lambda: name_of(category.pk, using)) == "old"
        transaction.rollback(using=using)
        assert name_of(category.pk, using) == "old"
        execute(using, UPDATE, ["new", category.pk])
        assert elsewhere(lambda: name_of(category.pk, using)) == "old"
        transaction.commit(using=using)
        assert name_of(category.pk, using) == "new"
    finally:
        transaction.rollback(using=using)
        transaction.set_autocommit(True, using=using)


@pytest.mark.parametrize("write", ["statement", "update", "save"])
@pytest.mark.parametrize("looks_at_values", [False, True])
def test_a_transaction_that_is_begun_by_a_statement_leaves_nothing_stale(
    using, category, write, looks_at_values
):
    rule = type("Rule", (ModelInvalidation,), {"tags": ["name:{name}"] if looks_at_values else []})
    with registry.override(Category, rule):
        assert name_of(category.pk, using) == "old"
        execute(using, "BEGIN")
        try:
            category.name = "new"
            if write == "statement":
                execute(using, UPDATE, ["new", category.pk])
            elif write == "save":
                category.save()
            else:
                Category.objects.using(using).filter(pk=category.pk).update(name="new")
            assert elsewhere(lambda: name_of(category.pk, using)) == "old"
        finally:
            execute(using, "COMMIT")
        assert name_of(category.pk, using) == "new"


def test_switching_autocommit_on_is_a_commit_where_the_database_takes_it_for_one() -> None:
    pk = Category.objects.using("sqlite").create(name="old").pk
    assert name_of(pk, "sqlite") == "old"
    transaction.set_autocommit(False, using="sqlite")
    execute("sqlite", UPDATE, ["new", pk])
    transaction.set_autocommit(True, using="sqlite")
    assert name_of(pk, "sqlite") == "new"
    assert elsewhere(lambda: name_of(pk, "sqlite")) == "new"
    assert not any(batches(connections["sqlite"]))


def test_a_statement_in_a_pipeline_is_committed_later() -> None:
    pk = Category.objects.create(name="old").pk
    assert name_of(pk, "default") == "old"
    with connections["default"].connection.pipeline():
        execute("default", UPDATE, ["new", pk])
        assert elsewhere(lambda: name_of(pk, "default")) == "old"
    assert elsewhere(lambda: name_of(pk, "default")) == "new"


def test_an_entry_that_is_dropped_in_a_transaction_is_dropped_at_its_commit() -> None:
    @cached(name="dropped with the other database", tags=[])
    def read() -> str:
        return Category.objects.using("sqlite").values_list("name", flat=True).get()

    pk = Category.objects.using("sqlite").create(name="old").pk
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheDependencyWarning)
        assert read() == "old"
        with transaction.atomic(using="sqlite"), no_invalidation():
            Category.objects.using("sqlite").filter(pk=pk).update(name="new")
            read.invalidate()
            assert elsewhere(read) == "old"
        assert read() == "new"
