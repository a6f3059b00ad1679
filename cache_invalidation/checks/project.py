"""Settings of the project that are not ours, and that defeat what this app is for."""

import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

from django.apps import apps
from django.conf import settings as django_settings
from django.core.cache.backends.db import DatabaseCache
from django.core.checks import Error, Warning
from django.db import connections, router

from cache_invalidation.checks.cache import backend
from cache_invalidation.checks.registering import Messages, register

_API: Final = "cache_invalidation.api.urls"
_SNAPSHOTS: Final = ("repeatable read", "serializable")


def import_urls() -> None:
    """Load the URLs, and with them the views and what these import."""
    with suppress(Exception):  # Django's own checks say so.
        import_module(getattr(django_settings, "ROOT_URLCONF", ""))


@register()
def check_api(**kwargs: Any) -> Messages:
    """E012: the REST API without what it is made with."""
    import_urls()
    if _API not in sys.modules or apps.is_installed("rest_framework"):
        return
    yield Error(
        f"The URLconf includes {_API}, but 'rest_framework' is not in INSTALLED_APPS.",
        hint="Add 'rest_framework' to INSTALLED_APPS.",
        id="cache_invalidation.E012",
    )


@register()
def check_threads(**kwargs: Any) -> Messages:
    """E013: a process that cannot wait for the cache to be back."""
    try:
        options: Any = import_module("uwsgi").opt
    except (ImportError, AttributeError):
        return
    if any(_is_on(options, name) for name in ("enable-threads", "threads")):
        return
    yield Error(
        "uWSGI runs no threads, so a process that has seen the cache fail never uses it again.",
        hint="Set enable-threads = true.",
        id="cache_invalidation.E013",
    )


def _is_on(options: Any, name: str) -> bool:
    # Names are texts or bytes, depending on the version; values are bytes, or True for a flag.
    value = options.get(name, options.get(name.encode(), b"false"))
    text = value.decode() if isinstance(value, bytes) else str(value)
    return text.lower() not in ("false", "no", "off", "0")


@register()
def check_atomic_requests(**kwargs: Any) -> Messages:
    """W010: requests of which every one is a snapshot, where nothing is stored."""
    for alias in filter(_makes_snapshots, connections):
        yield Warning(
            f"The database {alias!r} has ATOMIC_REQUESTS, and its transactions are snapshots. What "
            "a request computes there is never stored in the cache.",
            hint="Leave ATOMIC_REQUESTS off and use atomic() where it is needed, or use PostgreSQL "
            "under READ COMMITTED.",
            id="cache_invalidation.W010",
        )


def _makes_snapshots(alias: str) -> bool:
    try:
        connection: Any = connections[alias]
        wanted = connection.settings_dict["ATOMIC_REQUESTS"]
        if wanted and connection.vendor == "sqlite":
            return not connection.is_in_memory_db()
        level = connection.settings_dict["OPTIONS"].get("isolation_level")
    except Exception:  # noqa: BLE001 - whatever is wrong with it, the first query says so
        return False
    spelled = str(getattr(level, "name", level)).lower().replace("_", " ")
    return bool(wanted) and spelled in _SNAPSHOTS


@register()
def check_database_cache(**kwargs: Any) -> Messages:
    """W019: a database cache whose rows are part of transactions that are about other databases."""
    cache = backend()
    if not isinstance(cache, DatabaseCache) or len(connections.settings) < 2:
        return
    alias = router.db_for_write(cache.cache_model_class)
    if not connections.settings.get(alias, {}).get("ATOMIC_REQUESTS"):
        return
    yield Warning(
        f"The cache is in the database {alias!r}, which has ATOMIC_REQUESTS: what a request "
        "writes to another database is invalidated only when its transaction ends, and not at "
        "all if that is rolled back.",
        hint="Route the table of the cache to an alias of its own, without ATOMIC_REQUESTS.",
        id="cache_invalidation.W019",
    )
