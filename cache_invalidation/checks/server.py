"""The server behind the cache, and what it does when its memory is full.

A server that is down is nobody's mistake in the project. It is waited for once.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.core.checks import Error, Info, Warning

from cache_invalidation.checks.cache import store
from cache_invalidation.checks.registering import Messages, register
from cache_invalidation.conf import Settings
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.messages import Condition
from cache_invalidation.stores.near import is_in_use

# What the policies do that are not for a cache with fences.
_HARM: Final = {
    "volatile-ttl": "it evicts what expires first, and those are the fences",
    "volatile-random": "it evicts anything that expires, new fences as well",
    "allkeys-random": "it evicts anything, new fences as well",
    "noeviction": "once it is full it stores no values any more",
}

# What a policy has to be for those that are kept near: it evicts only what expires.
_FOR_NEAR: Final = "volatile-lru or volatile-lfu"

# By alias, what `check_server` has just been told.
_told: dict[str, Condition] = {}


@register()
def check_server(**kwargs: Any) -> Messages:
    """E005, W008, W015 and W031: what the server is, and how it is set up."""
    found = store()
    if found is None:
        return  # E001, E003 or E004.
    alias = found.alias
    condition = _told[alias] = found.condition()
    if condition.problem:
        yield Error(
            f"The cache {alias!r} cannot be used: {condition.problem}.",
            hint="Upgrade the server, or set CACHE_INVALIDATION['CACHE'] to another alias.",
            id="cache_invalidation.E005",
        )
    if condition.is_replica:
        yield Warning(
            f"The server of the cache {alias!r} is a replica, which refuses fences.",
            hint="LOCATION has to begin with the primary; replicas come after it.",
            id="cache_invalidation.W015",
        )
    if harm := _harm(condition):
        yield Warning(
            f"The maxmemory-policy of the server of the cache {alias!r} is {condition.eviction}: "
            f"{harm}.",
            hint=_policy_instead(),
            id="cache_invalidation.W008",
        )

    if found.near is not None and is_in_use() and (without := _without_leases(found, condition)):
        yield _no_leases(alias, *without)


def _no_leases(alias: str, why: str, hint: str) -> Warning:
    return Warning(
        f"Something is kept near, and the cache {alias!r} grants no leases: {why}.",
        hint=hint,
        id="cache_invalidation.W031",
    )


def _without_leases(found: Store, condition: Condition) -> tuple[str, str] | None:
    """Return why nobody answers alone, and what to do about it."""
    asked = "Each hit asks the cache for the versions."
    if not found.finds_holders:
        return "it is a cluster", f"{asked} That is right, and slower than on one server."
    if condition.eviction.startswith("allkeys-"):
        return (
            f"its maxmemory-policy is {condition.eviction}, which may evict who keeps what",
            f"{asked} Set the policy to {_FOR_NEAR}, or take near=True, or NEAR in OPTIONS, away.",
        )
    return None


def _policy_instead() -> str:
    alone = "What must not be evicted, such as a queue, needs a server of its own."
    if not is_in_use():
        return f"Set it to allkeys-lru or allkeys-lfu. {alone}"
    # Under allkeys-… there are no leases: W031.
    forever = Settings.DEFAULT_TIMEOUT.usable() is None
    expiring = ", and let entries expire: give DEFAULT_TIMEOUT a number" if forever else ""
    return f"Set it to {_FOR_NEAR}, since something is kept near{expiring}. {alone}"


def _harm(condition: Condition) -> str | None:
    if not condition.memory_limit:
        return None  # Nothing is ever evicted or refused.
    if condition.eviction.startswith("volatile-") and Settings.DEFAULT_TIMEOUT.usable() is None:
        return (
            "it evicts nothing but what expires, and with DEFAULT_TIMEOUT = None entries do not. "
            "Once it is full it stores no values any more"
        )
    return _HARM.get(condition.eviction)


@register(deploy=True)
def check_near_elsewhere(**kwargs: Any) -> Messages:
    """W031 of caches that keep nothing near, which is all right for development and tests."""
    found = store()
    if found is not None and found.near is None and is_in_use():
        yield _no_leases(
            found.alias,
            "it is none of django-redis",
            "Nothing is kept near there. Set its BACKEND to 'django_redis.cache.RedisCache', or to "
            "'cache_invalidation.backends.RedisCache'.",
        )


@register(deploy=True)
def check_eviction_of_others(**kwargs: Any) -> Messages:
    """I001 and W009: what else may be evicted by a server that evicts whatever there is.

    Versions and entries may be: that costs misses.
    """
    found = store()
    if found is None:
        return
    # Checks for deployment come after all others: the server has just been asked.
    condition = _told.pop(found.alias, None) or found.condition()
    if not (condition.memory_limit and condition.eviction.startswith("allkeys-")):
        return
    about = f"The server of the cache {found.alias!r} evicts any key ({condition.eviction})"
    others = list(_others(found.alias))
    if not others:
        yield Info(
            f"{about}, which is right for a cache and for nothing else.",
            hint="Keep no sessions and no queue there, not in another database of it either.",
            id="cache_invalidation.I001",
        )
    for other in others:
        yield Warning(
            f"{about}, and {other} on the same server.",
            hint="Give them a server of their own, one that evicts nothing.",
            id="cache_invalidation.W009",
        )


def _others(alias: str) -> Iterator[str]:
    """Say what the settings tell about who else uses the server."""
    servers = _servers_of(alias)
    engine = getattr(django_settings, "SESSION_ENGINE", None)
    if engine == "django.contrib.sessions.backends.cache" and (
        servers & _servers_of(django_settings.SESSION_CACHE_ALIAS)
    ):
        yield "the sessions (SESSION_ENGINE) are"
    if servers & _addresses(getattr(django_settings, "CELERY_BROKER_URL", None)):
        yield "the queue of Celery (CELERY_BROKER_URL) is"


def _servers_of(alias: str) -> set[str]:
    return _addresses(django_settings.CACHES.get(alias, {}).get("LOCATION"))


def _addresses(urls: object) -> set[str]:
    """Return the servers that `urls` name, without user, database and options."""
    if isinstance(urls, str):
        urls = urls.replace(";", ",").split(",")
    if not isinstance(urls, Iterable):
        return set()
    found = set()
    for url in urls:
        try:
            parts = urlsplit(str(url).strip())
            port = parts.port or 6379
        except ValueError:
            continue
        if parts.hostname:
            found.add(f"{parts.hostname}:{port}")
        elif parts.scheme in ("unix", "redis+socket"):
            found.add(parts.path)
    return found
