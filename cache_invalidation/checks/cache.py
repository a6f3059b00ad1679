"""The alias: whether there is such a cache, and whether it is one to keep things in."""

from math import isfinite
from typing import Any, Final

from django.conf import settings as django_settings
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.memcached import BaseMemcachedCache
from django.core.checks import Error, Warning

from cache_invalidation.checks.registering import Messages, register
from cache_invalidation.conf import settings
from cache_invalidation.exceptions import InvalidSetting
from cache_invalidation.stores import get_store
from cache_invalidation.stores.base import Store

FEW: Final = 300  # keys; what Django's own caches keep if they are not told otherwise


def backend() -> BaseCache | None:
    """Return the cache behind the store; None if it cannot be had, which `check_cache` reports."""
    try:
        return caches[settings.CACHE]
    except Exception:  # noqa: BLE001 - a project can get that wrong in many ways
        return None


def store() -> Store | None:
    """Return the store; None if it cannot be had, which `check_cache` reports."""
    try:
        caches[settings.CACHE]
        return get_store(settings.CACHE)
    except Exception:  # noqa: BLE001 - a project can get that wrong in many ways
        return None


@register()
def check_cache(**kwargs: Any) -> Messages:
    """E004, W006, W016 and W018: the alias, and what kind of cache it is."""
    try:
        alias = settings.CACHE
    except InvalidSetting:
        return  # E001 or E003.
    try:
        cache = caches[alias]
        get_store(alias)
    except Exception as error:  # noqa: BLE001 - a project can get that wrong in many ways
        yield Error(
            f"The cache {alias!r} cannot be used: {str(error).rstrip('.')}.",
            hint="Set CACHE_INVALIDATION['CACHE'] to one of the aliases in CACHES "
            f"({', '.join(sorted(django_settings.CACHES))}), and correct what CACHES says "
            "about it.",
            id="cache_invalidation.E004",
        )
        return
    if isinstance(cache, DummyCache):
        yield Warning(
            f"The cache {alias!r} is a DummyCache: nothing is ever cached.",
            hint="Set CACHE_INVALIDATION['CACHE'] to another alias, or silence this check where "
            "that is what you want.",
            id="cache_invalidation.W006",
        )
    kept: Any = getattr(cache, "_max_entries", None)
    if isinstance(cache, DatabaseCache | FileBasedCache) and kept <= FEW:
        yield Warning(
            f"The cache {alias!r} keeps {kept} keys, and every tag is one of them. When it is full "
            "it removes some, fences among them.",
            hint="Set MAX_ENTRIES in its OPTIONS to 100,000, for instance.",
            id="cache_invalidation.W016",
        )
    if isinstance(cache, BaseMemcachedCache) and len(_servers(cache)) > 1:
        yield Warning(
            f"The cache {alias!r} is spread over several Memcached servers. One that cannot be "
            "reached for a while comes back with what was invalidated meanwhile.",
            hint="Give this app an alias with a single server.",
            id="cache_invalidation.W018",
        )


def _servers(cache: Any) -> list[str]:
    return list(cache._servers)


@register(deploy=True)
def check_cache_in_production(**kwargs: Any) -> Messages:
    """W007: a cache that only one process has."""
    if django_settings.DEBUG or not isinstance(backend(), LocMemCache):
        return
    yield Warning(
        f"The cache {settings.CACHE!r} is in the memory of one process: no other process hears "
        "of what is invalidated there.",
        hint="Use a cache that all processes share, such as django-redis, unless there is only "
        "one process, scheduled commands included.",
        id="cache_invalidation.W007",
    )


@register()
def check_time_limits(**kwargs: Any) -> Messages:
    """W001: a fence that may have lapsed before its writer hears that it stands."""
    found = store()
    try:
        limit = settings.FENCE_TIMEOUT
        wait = 0.0 if found is None else found.longest_wait
    except (InvalidSetting, TypeError, ValueError):
        return  # E003; or a time-out that is no number, of which the first use complains.
    if wait <= limit:
        return
    spelled = f"{wait:g} s" if isfinite(wait) else "without end"
    yield Warning(
        f"An answer of the cache {settings.CACHE!r} is waited for longer ({spelled}) than a "
        f"fence stands (FENCE_TIMEOUT, {limit:g} s).",
        hint="Set SOCKET_TIMEOUT in its OPTIONS to a second or so, and FENCE_TIMEOUT to many "
        "times that.",
        id="cache_invalidation.W001",
    )
