"""Caches whose keys are tracked: what is set depends on what was read, without being told.

```python
CACHES = {
    "default": {
        "BACKEND": "cache_invalidation.backends.RedisCache",
        "LOCATION": "redis://127.0.0.1:6379/1",
        "OPTIONS": {"TRACK": ["product:*", "views.decorators.cache.*"]},
    }
}
```
"""

from collections.abc import Callable, Iterator, Mapping
from time import time
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.locmem import LocMemCache as DjangoLocMemCache
from django_redis.cache import RedisCache as DjangoRedisCache
from django_redis.client import DefaultClient
from django_redis.util import CacheKey

from cache_invalidation.delivery.fencing import drop
from cache_invalidation.stores.messages import NAMESPACE, entry_name, tracked_name
from cache_invalidation.surfaces.tracked import by_hand
from cache_invalidation.surfaces.tracked.cache import TrackedCache


class LocMemCache(TrackedCache, DjangoLocMemCache):
    """Django's cache in the memory of the process, with tracked keys: for development and tests."""

    def _left(self, place: str) -> float | None:
        until: float | None = self._expire_info.get(place)
        return None if until is None else max(0.0, until - time())


def _at_place(name: str) -> Any:
    """Return a method of `django-redis` about one key, which is done where a tracked one is."""

    def method(self: Any, key: Any, *args: Any, version: int | None = None, **kw: Any) -> Any:
        tracked = self._tracked(key, version)
        if tracked is None:
            return getattr(super(RedisCache, self), name)(key, *args, version=version, **kw)
        return getattr(self._plain(), name)(CacheKey(tracked.place()), *args, **kw)

    method.__name__ = name
    method.__doc__ = f"Do what `{name}` of `django-redis` does."
    return method


def _expiring(name: str, command: str, in_ms: Callable[[Any], int]) -> Any:
    """Return a method of `django-redis` that has one key expire: a tracked one for all.

    `command` does it, given what `in_ms` makes of the argument. Who keeps the value near is told.
    """

    def method(self: Any, key: Any, when: Any, version: int | None = None, **kw: Any) -> bool:
        tracked = self._tracked(key, version)
        if tracked is None:
            return bool(getattr(super(RedisCache, self), name)(key, when, version=version, **kw))
        if when is DEFAULT_TIMEOUT:
            when = self.default_timeout
        return by_hand.expire(tracked.place(), tracked.name, command, in_ms(when))

    method.__name__ = name
    method.__doc__ = f"Do what `{name}` of `django-redis` does."
    return method


class RedisCache(TrackedCache, DjangoRedisCache):  # type: ignore[misc]
    """The cache of `django-redis`, with tracked keys."""

    def _left(self, place: str) -> float | None:
        left: int | None = self._plain().pttl(CacheKey(place))
        return None if left is None else left / 1000

    ttl = _at_place("ttl")
    pttl = _at_place("pttl")
    expire = _expiring("expire", "PEXPIRE", by_hand.from_now(1000))
    expire_at = _expiring("expire_at", "PEXPIREAT", by_hand.at(1000))
    pexpire = _expiring("pexpire", "PEXPIRE", by_hand.from_now(1))
    pexpire_at = _expiring("pexpire_at", "PEXPIREAT", by_hand.at(1))

    def persist(self, key: Any, version: int | None = None, **kw: Any) -> bool:
        """Let the value live for ever; tell whether it would not have."""
        tracked = self._tracked(key, version)
        if tracked is None:
            return bool(super().persist(key, version=version, **kw))
        return by_hand.persist(tracked.place(), tracked.name)

    def _put(self, place: str, name: str, value: Any, timeout: Any) -> bool:
        return by_hand.put(place, name, value, self._lifetime(timeout))

    def _touch(self, place: str, name: str, timeout: Any) -> bool:
        lifetime = self._lifetime(timeout)
        if lifetime is None:
            return by_hand.persist(place, name)
        return by_hand.expire(place, name, "PEXPIRE", round(lifetime * 1000))

    def clear(self) -> Any:
        """Remove everything; nobody has any of it in his memory any more."""
        if self._tracking() is None:
            return super().clear()
        is_plain = type(self.client).clear is DefaultClient.clear
        return by_hand.clear(super().clear, is_plain=is_plain)

    def keys(self, search: str, version: int | None = None, **kw: Any) -> list[Any]:
        """Return all keys that match, tracked or not."""
        return self._names(super().keys, search, version, kw)

    def iter_keys(self, search: str, version: int | None = None, **kw: Any) -> Iterator[Any]:
        """Iterate over all keys that match, tracked or not."""
        yield from self._names(super().iter_keys, search, version, kw)

    def _names(
        self, find: Callable[..., Any], search: str, version: int | None, kw: Mapping[str, Any]
    ) -> list[Any]:
        above = entry_name(tracked_name("", self.version if version is None else version))
        names = [name for name in find(search, version=version, **kw) if NAMESPACE not in name]
        tracked = find(f"{above}{search}", version=self.version, **kw)
        return names + [name.removeprefix(above) for name in tracked]

    def delete_pattern(self, pattern: str, version: int | None = None, **kw: Any) -> int:
        """Delete the keys that match. Tracked ones go by a tag, at COMMIT inside a transaction.

        Return how many there were that are not tracked; only these take a SCAN.
        """
        tracking = self._tracking()
        if tracking is not None and (tags := tracking.tags_of(pattern)):
            drop("delete_pattern", {}, tags)
        if tracking is not None and tracking.covers(pattern):
            return 0
        return int(super().delete_pattern(pattern, version=version, **kw))
