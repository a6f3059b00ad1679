"""Where entries and versions live. `get_store` is the way in."""

import logging
import os
from threading import Lock
from typing import Any

from django.apps import apps
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.module_loading import import_string

from cache_invalidation.conf import settings
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.stores.base import Store

logger = logging.getLogger("cache_invalidation")

# What makes the store of an alias, by class of the cache backend, the most special first.
STORES = {
    "django_redis.cache.RedisCache": "cache_invalidation.stores.redis.cluster_store.store_of",
    "django.core.cache.backends.locmem.LocMemCache": "cache_invalidation.stores.locmem.LocMemStore",
    "django.core.cache.backends.db.DatabaseCache": (
        "cache_invalidation.stores.database_cache.DatabaseCacheStore"
    ),
    "django.core.cache.backends.base.BaseCache": (
        "cache_invalidation.stores.django_cache.DjangoCacheStore"
    ),
}

_stores: dict[str | None, Store] = {}  # None is the one that is set
_unusable: set[str] = set()  # Aliases of which that was logged.
_lock = Lock()

# Whether the app has begun to watch writes. That it is among the installed apps at this moment says
# less: tests may leave it out for a while.
_writes_are_seen = False


def writes_are_seen() -> None:
    """Take note that the app has been started, so that what is cached is also invalidated."""
    global _writes_are_seen
    _writes_are_seen = True


def get_store(alias: str | None = None) -> Store:
    """Return the store on the cache `alias`, or on the one that is set; made once per process.

    Raises `StoreUnavailable` if there is no such cache, which a system check reports and the log
    has once; or if this app is not installed, so that no write would be seen.
    """
    store = _stores.get(alias)
    if store is None:
        name = alias or settings.CACHE
        try:
            with _lock:
                store = _stores.get(name) or _stores.setdefault(name, _make(name))
                _stores[alias] = store
        except (ImproperlyConfigured, ImportError) as error:
            # Not under the lock: a log that is kept in the database comes here again.
            if name not in _unusable:
                _unusable.add(name)
                logger.error("The cache %r cannot be used: %s", name, error)
            raise StoreUnavailable(str(error)) from error
    return store


def _make(alias: str) -> Store:
    if apps.ready and not _writes_are_seen:
        raise ImproperlyConfigured(
            "cache_invalidation is not in INSTALLED_APPS, so no write would be seen. Nothing is "
            "cached until you add it there."
        )
    kinds = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(caches[alias]).__mro__]
    path = next(STORES[kind] for kind in kinds if kind in STORES)
    store: Store = import_string(path)(alias)
    return store


def _after_fork() -> None:
    global _lock
    _lock = Lock()  # Another thread, which is not here, may have had it.


os.register_at_fork(after_in_child=_after_fork)


@receiver(setting_changed, dispatch_uid="cache_invalidation.stores")
def _forget(setting: str, **kwargs: Any) -> None:
    if setting in ("CACHES", "CACHE_INVALIDATION"):
        with _lock:
            forgotten = set(_stores.values())
            _stores.clear()
        for store in forgotten:
            store.close()
