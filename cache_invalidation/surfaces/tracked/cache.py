"""A cache some of whose keys are tracked, whatever kind of cache is below it."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.apps import apps
from django.core.cache import caches
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.signals import setting_changed
from django.dispatch import receiver
from django_redis.util import CacheKey

from cache_invalidation.conf import Settings
from cache_invalidation.reads.consistency import recomputing
from cache_invalidation.stores.django_cache import verbatim
from cache_invalidation.stores.tracking import Tracking, tracking_of
from cache_invalidation.surfaces.tracked.anew import Anew
from cache_invalidation.surfaces.tracked.keys import MISSING, Key, get_many
from cache_invalidation.surfaces.tracked.turns import add, incr

# What tells apart two caches on one server, also if one of them leaves it out.
_OF_DJANGO: Final = frozenset({"KEY_PREFIX", "VERSION", "KEY_FUNCTION", "TIMEOUT", "OPTIONS"})

# Another one whenever settings have changed: as long as the app has its store, this is as it was.
_era: object = object()


@receiver(setting_changed, dispatch_uid="cache_invalidation.tracked")
def _begin_era(setting: str, **kwargs: Any) -> None:
    global _era
    if setting in ("CACHES", "CACHE_INVALIDATION"):
        _era = object()


# What is below it differs: it is Django's cache, or that of django-redis.
_Below: Any = object


class TrackedCache(_Below):  # type: ignore[misc]
    """What is the same for all of them. Keys that are not tracked go by the cache below.

    A tracked value is found as long as everything stands that was read, in this request, before it
    was set. `set` tells whether it is kept: it is not if nobody knows what it depends on. `add`,
    `incr` and `touch` are as ever for what was not set, such as a lock or a counter.
    """

    tracks_keys = True

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._given = (server, params)
        # What is tracked, and since which settings that is known.
        self._found: tuple[object, Tracking | None] = (None, None)

    def _tracked(self, key: Any, version: int | None) -> Key | None:
        """Return what there is to do with a key that is tracked; None for all others."""
        tracking = self._tracking()
        if tracking is None or (glob := tracking.glob_of(str(key))) is None:
            return None
        number = self.version if version is None else version
        kind = Key if recomputing.get() is None else Anew
        lifetime, is_near = self._lifetime(DEFAULT_TIMEOUT), tracking.is_near(str(key))
        return kind(str(key), number, glob, lifetime, near=is_near)

    def _split(self, keys: Iterable[Any], version: int | None) -> tuple[dict[Any, Key], list[Any]]:
        """Return what there is to do with each key that is tracked, and the other keys."""
        each = {key: self._tracked(key, version) for key in keys}
        tracked = {key: found for key, found in each.items() if found is not None}
        return tracked, [key for key in each if key not in tracked]

    def _tracking(self) -> Tracking | None:
        """Return what is tracked, if this is the cache of the app, once it is ready."""
        if not self.tracks_keys:
            return None  # Though it may have the very attributes of one that does: see `verbatim`.
        era, found = self._found
        if era is not _era:
            if not apps.ready:
                return None
            era, found = _era, self._tracking_as(Settings.CACHE.usable())
            self._found = era, found
        return found

    def _tracking_as(self, alias: str) -> Tracking | None:
        server, params = self._given
        settings = caches.settings.get(alias)
        if settings is None or settings.get("LOCATION", "") != server:
            return None
        names = _OF_DJANGO | settings.keys() & params.keys()
        is_same = all(settings.get(name) == params.get(name) for name in names)
        return tracking_of(alias) if is_same else None

    def _plain(self) -> Any:
        """Return the same cache, which takes places for keys and tracks nothing."""
        return verbatim(self)

    def _left(self, place: str) -> float | None:
        """Return the seconds that what is there lives yet; None for ever."""
        raise NotImplementedError

    def _put(self, place: str, name: str, value: Any, timeout: Any) -> bool:
        """Put a value there, as it is, if there is nothing; tell whether it was."""
        return bool(self._plain().add(CacheKey(place), value, timeout))

    def _touch(self, place: str, name: str, timeout: Any) -> bool:
        """Let what is there live for `timeout` seconds from now; tell whether it is there."""
        return bool(self._plain().touch(CacheKey(place), timeout))

    def _lifetime(self, timeout: Any) -> float | None:
        """Return the seconds that a value may be kept, None for ever; 0 if it may not."""
        if timeout is DEFAULT_TIMEOUT:
            timeout = self.default_timeout
        return None if timeout is None else max(0, timeout)

    def get(self, key: Any, default: Any = None, version: int | None = None, **kw: Any) -> Any:
        """Return the value if everything stands that it was made from, or else `default`."""
        tracked = self._tracked(key, version)
        if tracked is None:
            return super().get(key, default, version, **kw)
        value = tracked.get()
        return default if value is MISSING else value

    def set(
        self,
        key: Any,
        value: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
        **kw: Any,
    ) -> Any:
        """Keep the value as long as everything stands that was read before; tell whether it is."""
        tracked = self._tracked(key, version)
        if tracked is None:
            return super().set(key, value, timeout, version, **kw)
        if kw.get("nx"):
            return self.add(key, value, timeout, version)
        if kw.get("xx") and not tracked.exists():
            return False
        return self._keep(tracked, value, timeout)

    def _keep(self, tracked: Key, value: Any, timeout: Any) -> bool:
        lifetime = self._lifetime(timeout)
        if lifetime == 0:
            tracked.drop()
            return True
        return tracked.set(value, lifetime)

    def add(
        self,
        key: Any,
        value: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
        **kw: Any,
    ) -> bool:
        """Keep the value if there is none; tell whether it is kept."""
        tracked = self._tracked(key, version)
        if tracked is None:
            return bool(super().add(key, value, timeout, version, **kw))
        lifetime = self._lifetime(timeout)
        name = tracked.name
        return add(tracked, value, lifetime, lambda place: self._put(place, name, value, timeout))

    def get_or_set(
        self,
        key: Any,
        default: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> Any:
        """Return the value; if there is none, keep and return `default`, or what it returns."""
        tracked = self._tracked(key, version)
        if tracked is None:
            return super().get_or_set(key, default, timeout, version)
        return tracked.get_or_set(default, self._lifetime(timeout))

    async def aget_or_set(
        self,
        key: Any,
        default: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> Any:
        """Do what `get_or_set` does."""
        if self._tracked(key, version) is None:
            return await super().aget_or_set(key, default, timeout, version)
        return await sync_to_async(self.get_or_set)(key, default, timeout, version)

    def get_many(self, keys: Iterable[Any], version: int | None = None, **kw: Any) -> Any:
        """Return the values that there are, by key."""
        tracked, rest = self._split(keys, version)
        found = dict(super().get_many(rest, version, **kw)) if rest else {}
        values = zip(tracked, get_many(list(tracked.values())), strict=True) if tracked else ()
        return found | {key: value for key, value in values if value is not MISSING}

    def set_many(
        self,
        data: Mapping[Any, Any],
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
        **kw: Any,
    ) -> Any:
        """Keep each of the values as `set` does; return the keys of those that are not kept."""
        tracked, rest = self._split(data, version)
        plain = {key: data[key] for key in rest}
        failed = list(super().set_many(plain, timeout, version, **kw) or ()) if plain else []
        return failed + [
            key for key, each in tracked.items() if not self._keep(each, data[key], timeout)
        ]

    def delete(self, key: Any, version: int | None = None, **kw: Any) -> bool:
        """Make the value stale, at COMMIT inside a transaction; tell whether there was one."""
        tracked = self._tracked(key, version)
        if tracked is None:
            return bool(super().delete(key, version, **kw))
        return self._drop(tracked)

    def _drop(self, tracked: Key) -> bool:
        existed = tracked.exists()
        tracked.drop()
        return existed

    def delete_many(self, keys: Iterable[Any], version: int | None = None, **kw: Any) -> Any:
        """Delete each of the values as `delete` does."""
        tracked, rest = self._split(keys, version)
        number = super().delete_many(rest, version, **kw) if rest else 0
        dropped = [self._drop(each) for each in tracked.values()]
        return number if number is None else number + sum(dropped)

    def has_key(self, key: Any, version: int | None = None, **kw: Any) -> bool:
        """Whether there is a value, and everything stands that it was made from."""
        tracked = self._tracked(key, version)
        return bool(super().has_key(key, version, **kw)) if tracked is None else tracked.has()

    def incr(self, key: Any, delta: int = 1, version: int | None = None, **kw: Any) -> int:
        """Add to the value: in one step if it is a counter, and by `set` if that was how it came.

        Raises `ValueError` if there is none.
        """
        tracked = self._tracked(key, version)
        if tracked is None:
            return int(super().incr(key, delta, version, **kw))
        return incr(
            tracked, delta, lambda place: self._plain().incr(CacheKey(place), delta), self._left
        )

    def decr(self, key: Any, delta: int = 1, version: int | None = None, **kw: Any) -> int:
        """Take from the value, as `incr` adds to it."""
        if self._tracked(key, version) is None:
            return int(super().decr(key, delta, version, **kw))
        return self.incr(key, -delta, version)

    def touch(
        self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, **kw: Any
    ) -> bool:
        """Let the value live for `timeout` seconds from now; tell whether there is one."""
        tracked = self._tracked(key, version)
        if tracked is None:
            return bool(super().touch(key, timeout, version, **kw))
        return tracked.exists() and self._touch(tracked.place(), tracked.name, timeout)

    def incr_version(self, key: Any, delta: int = 1, version: int | None = None, **kw: Any) -> int:
        """Move the value to another version of its key."""
        if self._tracked(key, version) is None:
            return int(super().incr_version(key, delta, version, **kw))
        return int(BaseCache.incr_version(self, key, delta, version))


def _in_thread(name: str) -> Any:
    """Return the twin of a method for coroutines: it does the same in Django's thread for that.

    Django's own ask for one thing after the other what is done in one step here.
    """

    async def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await sync_to_async(getattr(self, name))(*args, **kwargs)

    method.__name__ = f"a{name}"
    method.__doc__ = f"Do what `{name}` does."
    return method


for _name in ("get_many", "set_many", "delete_many", "incr", "decr", "incr_version"):
    setattr(TrackedCache, f"a{_name}", _in_thread(_name))
