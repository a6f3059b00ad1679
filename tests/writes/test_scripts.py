"""Scripts: several statements in one text, of which one may be a COMMIT."""

import sqlite3
from contextlib import nullcontext

import pytest
from django.db import DatabaseError, connections, transaction

from cache_invalidation import ModelInvalidation, cached, registry
from tests.cursors import execute
from tests.elsewhere import elsewhere
from tests.testapp.models import Category

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


@cached(name="name of one category, by script")
def name_of(pk, using="default"):
    return Category.objects.using(using).values_list("name", flat=True).get(pk=pk)


def rename(category):
    Category.objects.filter(pk=category.pk).update(name="new")


def stored_name(category, using="default"):
    return elsewhere(lambda: name_of.__wrapped__(category.pk, using))


SCRIPTS = [
    "SELECT 1; COMMIT",
    ";COMMIT",
    "UPDATE testapp_category SET slug = 'x'; END",
    "COMMIT; UPDATE testapp_category SET name = 'new'",
    "ROLLBACK; UPDATE testapp_category SET name = 'new'",
    "COMMIT; BEGIN; UPDATE testapp_category SET name = 'newer'",
    "COMMIT AND CHAIN; UPDATE testapp_category SET name = 'newer'",
    "/* a /* b */ c */ COMMIT",
    f"SELECT '{'x' * 70_000}'; COMMIT",
]


@pytest.mark.parametrize("goes_on", [False, True])
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script[:12] + script[-12:])
def test_a_commit_somewhere_in_a_script_is_told(script, goes_on):
    category = Category.objects.create(name="old")
    assert name_of(category.pk) == "old"
    with transaction.atomic():
        rename(category)
        execute("default", script)
        for _ in range(2):
            assert elsewhere(lambda: name_of(category.pk)) == stored_name(category) == "new"
        transaction.set_rollback(not goes_on)
    for _ in range(2):
        assert elsewhere(lambda: name_of(category.pk)) == stored_name(category)


FUNCTION = "CREATE FUNCTION two() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END"


def test_a_script_that_only_looks_as_if_it_would_commit_leaves_the_transaction_alone():
    category = Category.objects.create(name="old")
    assert name_of(category.pk) == "old"
    with transaction.atomic():
        rename(category)
        execute("default", FUNCTION)
        assert elsewhere(lambda: name_of(category.pk)) == "old"
        transaction.set_rollback(True)
    assert elsewhere(lambda: name_of(category.pk)) == "old"
    with transaction.atomic():
        rename(category)
        execute("default", FUNCTION)
        execute("default", "DROP FUNCTION two()")
        assert elsewhere(lambda: name_of(category.pk)) == "old"
    assert elsewhere(lambda: name_of(category.pk)) == "new"


@pytest.mark.parametrize("in_block", [False, True])
@pytest.mark.parametrize(
    ("using", "script"),
    [
        ("default", "UPDATE testapp_category SET name = 'new'; COMMIT; SELECT nothing"),
        ("sqlite", "UPDATE testapp_category SET name = 'new'; SELECT nothing"),
    ],
)
def test_a_script_that_fails_may_have_committed_before(using, script, in_block):
    category = Category.objects.using(using).create(name="old")
    assert name_of(category.pk, using) == "old"
    errors = (DatabaseError, sqlite3.Error)  # The latter comes from the driver as it is.
    with (
        pytest.raises(errors),
        transaction.atomic(using) if in_block else nullcontext(),
        connections[using].cursor() as cursor,
    ):
        (cursor.executescript if using == "sqlite" else cursor.execute)(script)
    assert name_of(category.pk, using) == stored_name(category, using)


@pytest.mark.parametrize("consistency", ["strict", "commit"])
@pytest.mark.parametrize("looks_at_values", [False, True])
@pytest.mark.parametrize("end", ["COMMIT", "SELECT 1; END"])
def test_a_transaction_that_a_script_begins_leaves_nothing_stale(
    settings, consistency, looks_at_values, end
):
    settings.CACHE_INVALIDATION = {"CONSISTENCY": consistency}
    rule = type("Rule", (ModelInvalidation,), {"tags": ["name:{name}"] if looks_at_values else []})
    category = Category.objects.create(name="old")
    with registry.override(Category, rule):
        assert name_of(category.pk) == "old"
        sql = f"UPDATE testapp_category SET name = 'new' WHERE id = {category.pk}"
        execute("default", f"BEGIN; {sql}")
        try:
            assert elsewhere(lambda: name_of(category.pk)) == stored_name(category) == "old"
        finally:
            execute("default", end)
        assert elsewhere(lambda: name_of(category.pk)) == stored_name(category) == "new"


@pytest.mark.parametrize("looks_at_values", [False, True])
def test_a_script_with_a_transaction_of_its_own_is_told(looks_at_values):
    rule = type("Rule", (ModelInvalidation,), {"tags": ["name:{name}"] if looks_at_values else []})
    category = Category.objects.create(name="old")
    with registry.override(Category, rule):
        assert name_of(category.pk) == "old"
        sql = f"UPDATE testapp_category SET name = 'new' WHERE id = {category.pk}"
        execute("default", f"BEGIN; {sql}; COMMIT")
        assert name_of(category.pk) == "new"


@pytest.mark.parametrize("looks_at_values", [False, True])
@pytest.mark.parametrize("using", ["default", "sqlite"])
def test_a_script_that_names_rows_and_ends_a_block_is_told(using, looks_at_values):
    rule = type("Rule", (ModelInvalidation,), {"tags": ["name:{name}"] if looks_at_values else []})
    category = Category.objects.using(using).create(name="old")
    with registry.override(Category, rule):
        assert name_of(category.pk, using) == "old"
        sql = f"UPDATE testapp_category SET name = 'new' WHERE id = {category.pk}"
        with transaction.atomic(using), connections[using].cursor() as cursor:
            if using == "sqlite":
                cursor.executescript(sql)
            else:
                cursor.execute(f"{sql}; COMMIT")
        assert name_of(category.pk, using) == stored_name(category, using) == "new"
