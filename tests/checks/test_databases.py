"""System checks of tables, and of who is to have them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.checks import CheckMessage, Warning
from django.core.management import call_command
from django.db import DatabaseError, connections
from django.test import override_settings

from cache_invalidation.checks.databases import check_outbox, check_tables
from cache_invalidation.models import PendingInvalidation
from tests.checks.reporting import configured, only, reported
from tests.cursors import execute
from tests.routers import only_in

__all__ = ["only_in"]

DATABASES = ["default", "other", "sqlite"]

pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)

TABLE = PendingInvalidation._meta.db_table


class Failing:
    """A router with a mistake in it."""

    def allow_migrate(self, *args: Any, **hints: Any) -> bool | None:
        raise LookupError("mistake")


@contextmanager
def missing(table: str, using: str) -> Iterator[None]:
    """Take a table away until the block ends."""
    execute(using, f"ALTER TABLE {table} RENAME TO taken_away")
    try:
        yield
    finally:
        execute(using, f"ALTER TABLE taken_away RENAME TO {table}")


def reported_for(*databases: str) -> list[CheckMessage]:
    return reported(databases=databases)


def test_nothing_is_missing_in_the_databases_of_the_tests():
    assert reported_for(*DATABASES) == []


@pytest.mark.parametrize("using", DATABASES)
def test_w011_a_database_where_the_outbox_is_missing(using: str):
    with missing(TABLE, using):
        message = only(reported_for(*DATABASES), Warning, "W011")
        assert reported() == []
        assert reported_for(*(alias for alias in DATABASES if alias != using)) == []
    assert f"{using!r} has no outbox" in message.msg
    assert f"--database {using}" in str(message.hint)


def test_a_database_that_is_not_to_have_the_outbox_is_not_asked_for_it(only_in: Any):
    only_in("default", "sqlite")
    with missing(TABLE, "other"):
        assert reported_for(*DATABASES) == []


def test_where_nothing_is_migrated_yet_nothing_is_missed():
    with missing(TABLE, "other"), missing_too("django_migrations", "other"):
        assert reported_for("other") == []


@contextmanager
def missing_too(table: str, using: str) -> Iterator[None]:
    execute(using, f"ALTER TABLE {table} RENAME TO taken_away_as_well")
    try:
        yield
    finally:
        execute(using, f"ALTER TABLE taken_away_as_well RENAME TO {table}")


@pytest.mark.parametrize("value", ["ignore", "nonsense"])
def test_without_an_outbox_no_table_is_missed(value: str, only_in: Any):
    only_in("other")
    with configured(ON_STORE_FAILURE=value), missing(TABLE, "other"):
        assert check_tables(["other"]) == []
    only_in()
    with configured(ON_STORE_FAILURE=value):
        assert check_outbox() == []


def test_w012_routers_that_allow_the_outbox_nowhere(only_in: Any):
    only_in()
    message = only(reported_for(*DATABASES), Warning, "W012")
    assert "allow_migrate()" in str(message.hint)
    only_in("other")
    assert reported_for(*DATABASES) == []


def test_a_router_that_fails_is_not_for_the_checks_to_stumble_over(settings: Any):
    settings.DATABASE_ROUTERS = [f"{__name__}.Failing"]
    assert check_outbox() + check_tables(DATABASES) == []


def test_a_database_that_is_down_is_no_mistake(monkeypatch: pytest.MonkeyPatch):
    def cursor() -> None:
        raise DatabaseError("down")

    with missing(TABLE, "other"):
        monkeypatch.setattr(connections["default"], "cursor", cursor)
        message = only(check_tables(["default", "other"]), Warning, "W011")
        monkeypatch.undo()
    assert "'other'" in message.msg


def test_w017_a_cache_whose_table_was_never_made():
    config = {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "no_such_table",
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
    with override_settings(CACHES={"default": config}):
        message = only(reported_for(*DATABASES), Warning, "W017")
        assert "createcachetable --database default" in str(message.hint)
        assert "'no_such_table'" in message.msg
        assert reported() == []
        call_command("createcachetable", verbosity=0)
        try:
            assert reported_for(*DATABASES) == []
        finally:
            execute("default", "DROP TABLE no_such_table")
