"""Tables: that of the outbox, and that of a cache which is in the database."""

from collections.abc import Sequence, Set
from contextlib import suppress
from typing import Any

from django.core.cache.backends.db import DatabaseCache
from django.core.checks import Tags, Warning
from django.db import connections, router
from django.db.migrations.recorder import MigrationRecorder

from cache_invalidation.checks.cache import backend
from cache_invalidation.checks.registering import Messages, register
from cache_invalidation.conf import settings
from cache_invalidation.exceptions import InvalidSetting
from cache_invalidation.models import PendingInvalidation


def _uses_outbox() -> bool:
    try:
        return settings.ON_STORE_FAILURE != "ignore"
    except InvalidSetting:
        return False  # E001 or E003.


@register()
def check_outbox(**kwargs: Any) -> Messages:
    """W012: no database that is to have the outbox."""
    try:
        has_place = any(router.allow_migrate_model(a, PendingInvalidation) for a in connections)
    except Exception:  # noqa: BLE001 - a router of the project, which fails elsewhere as well
        return
    if has_place or not _uses_outbox():
        return
    yield Warning(
        "The routers allow the outbox on no database: what cannot be delivered is lost.",
        hint="Let allow_migrate() say yes to 'cache_invalidation' on every database that is "
        "written to, or at least on 'default', and migrate.",
        id="cache_invalidation.W012",
    )


@register(Tags.database)
def check_tables(databases: Sequence[str] | None = None, **kwargs: Any) -> Messages:
    """W011 and W017: tables that are not there. A database that is down is none's mistake."""
    for alias in databases or ():
        with suppress(Exception):  # Of the database, or a router of the project.
            yield from _check_tables(alias)


def _check_tables(alias: str) -> Messages:
    connection = connections[alias]
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
    if MigrationRecorder.Migration._meta.db_table not in tables:
        return  # The database is new, and `migrate` has yet to come.
    if (
        _uses_outbox()
        and router.allow_migrate_model(alias, PendingInvalidation)
        and PendingInvalidation._meta.db_table not in tables
    ):
        yield Warning(
            f"The database {alias!r} has no outbox: what cannot be delivered may be lost.",
            hint=f"Run `manage.py migrate cache_invalidation --database {alias}`. If nobody writes "
            "there, let allow_migrate() of a router say no.",
            id="cache_invalidation.W011",
        )
    cache = backend()
    if isinstance(cache, DatabaseCache):
        yield from _check_cache_table(alias, cache, tables)


def _check_cache_table(alias: str, cache: Any, tables: Set[str]) -> Messages:
    model, table = cache.cache_model_class, cache._table
    belongs_there = router.allow_migrate_model(alias, model) and alias == router.db_for_write(model)
    if belongs_there and table not in tables:
        yield Warning(
            f"The database {alias!r} has no table {table!r}, in which the cache is to be.",
            hint=f"Run `manage.py createcachetable --database {alias}`.",
            id="cache_invalidation.W017",
        )
