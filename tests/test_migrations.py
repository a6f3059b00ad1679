"""The tables of the package."""

import pytest
from django.core.management import call_command
from django.db import connections

from cache_invalidation.models import AuditEntry, PendingInvalidation


@pytest.mark.django_db(databases="__all__")
def test_the_migrations_say_what_the_models_say():
    call_command("makemigrations", "cache_invalidation", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db(databases="__all__")
@pytest.mark.parametrize("using", ["default", "other", "sqlite"])
def test_every_database_that_is_migrated_has_them(using: str):
    tables = connections[using].introspection.table_names()
    assert {PendingInvalidation._meta.db_table, AuditEntry._meta.db_table} <= set(tables)
