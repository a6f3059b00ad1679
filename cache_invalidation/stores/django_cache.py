"""Entries and versions in any other Django cache: LocMem, Memcached, database, Django's own Redis.

The protocol is the same, but a cache that can only get and set cannot change a fence in one step:
of two writers that fence one tag at the very same moment, one may lift the other's fence early. A
reader can then be wrong only if that other writer is killed between its COMMIT and its delivery.
"""

import pickle
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from hashlib import blake2b
from math import ceil
from threading import Lock
from typing import Any, TypeGuard

from django.core.cache import caches
from django.core.cache.backends.base import BaseCache, InvalidCacheKey, default_key_func

from cache_invalidation.conf import settings
from cache_invalidation.exceptions import PatternsNotSupported, StoreRefused
from cache_invalidation.stores.django_counters import DAY, LAST, DjangoCounters
from cache_invalidation.stores.guarding import guarded
from cache_invalidation.stores.messages import (
    MARK_TIMEOUT,
    NAMESPACE,
    VERSION_GRACE,
    Delivery,
    Entry,
    Filling,
    Found,
    Versions,
    entry_name,
    is_fence,
    new_token,
    seal,
    traces,
)
from cache_invalidation.stores.near.waiting import NOBODY, Told
from cache_invalidation.tags import with_rows_alone

_UNSAFE = re.compile(r"[^\x21-\x7e]")
_FENCE = re.compile(r"!([^!@]+)@(\d+)")


class DjangoCacheStore(DjangoCounters):
    """Any cache with Django's API."""

    def __init__(self, alias: str) -> None:
        super().__init__(alias)
        self._has_own_names = has_own_names(caches[alias])
        self._lock = self._new_lock()

    def _new_lock(self) -> AbstractContextManager[Any]:
        """Return what makes the steps below one for the threads of this process."""
        return Lock()  # It is all that LocMem needs.

    def after_fork(self) -> None:
        super().after_fork()
        self._lock = self._new_lock()

    @property
    def _cache(self) -> BaseCache:
        # Django makes one backend for each thread, since not every client can be shared.
        cache = caches[self.alias]
        return verbatim(cache) if self._has_own_names else cache

    def shared(self, name: str) -> str:
        name = _safe(name)
        return super().shared(name) if self._has_own_names else name

    def place(self, name: str) -> str:
        # Without a function of the project, the cache itself does what there is to do.
        return self._placed(caches[self.alias].make_key, name) if self._has_own_names else name

    def entry_place(self, key: str) -> str:
        return self.place(_safe(entry_name(key)))

    def _protected(self, tags: Sequence[str], entries: Sequence[str]) -> list[str]:
        return [*map(self.version_key, with_rows_alone(tags)), *entries]

    # What readers need

    @guarded(Exception)
    def lookup(
        self, entry: str, tags: Sequence[str], *, with_further: bool = False, head: int = 0
    ) -> Found:
        return self._lookup(entry, tags)

    def _lookup(self, entry: str, tags: Iterable[str]) -> Found:
        marked, names = self._mark_key(entry), {tag: self.version_key(tag) for tag in tags}
        found = self._cache.get_many([entry, marked, *names.values()])
        versions = {tag: _version(found.get(key)) for tag, key in names.items()}
        value, mark = found.get(entry), _version(found.get(marked)) or ""
        if _is_entry(value):
            return Found(Entry(*value, mark), versions, mark)
        fenced = is_fence(_version(value))
        plain = None if fenced or value is None else pickle.dumps(value)
        return Found(None, versions, mark, entry_fenced=fenced, plain=plain)

    @guarded(Exception)
    def versions(self, tags: Sequence[str]) -> Versions:
        return self._versions(tags)

    def _versions(self, tags: Iterable[str]) -> Versions:
        names = {tag: self.version_key(tag) for tag in tags}
        found = self._cache.get_many(list(names.values()))
        return {tag: _version(found.get(key)) for tag, key in names.items()}

    @guarded(Exception)
    def mint(self, tags: Sequence[str], timeout: float | None) -> Versions:
        # A version's life cannot be prolonged later without the risk of prolonging a fence's.
        lifetime = _life(timeout, DAY)
        for tag in tags:
            self._cache.add(self.version_key(tag), new_token(), lifetime)
        return self._versions(tags)

    def encode(self, value: Any) -> bytes:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    @guarded(Exception)
    def fill(self, filling: Filling) -> bool:
        name, versions, mark = filling.entry, filling.versions, filling.mark
        traced = traces(versions, filling.nonce)
        packed = (seal(versions, mark), tuple(filling.further), filling.payload, traced)
        with self._lock:
            needed = {**filling.conditions, **versions}
            found = self._lookup(name, needed)
            if found.entry_fenced or found.mark != mark or found.versions != needed:
                return False
            try:
                self._cache.set(name, packed, filling.timeout)
            except Exception:  # noqa: BLE001 - clients raise what they like
                # Too big, perhaps. A cache that does as it is told here is not down.
                self._cache.delete(name)
                return False
            if mark:
                self._cache.touch(self._mark_key(name), _life(filling.timeout, MARK_TIMEOUT))
            return True

    @guarded(Exception)
    def discard(self, entry: str, seal: bytes) -> None:
        with self._lock:
            value: Any = self._cache.get(entry)
            if _is_entry(value) and value[0] == seal:
                self._cache.delete(entry)

    def decode(self, payload: Any) -> Any:
        try:
            return pickle.loads(payload)  # noqa: S301 - as trusted as the cache itself
        except Exception as error:
            raise ValueError(f"unreadable entry: {error!r}") from error

    @guarded(Exception)
    def acquire(self, entry: str, token: str, timeout: float) -> bool:
        return bool(self._cache.add(self._lock_key(entry), token, ceil(timeout)))

    @guarded(Exception)
    def release(self, entry: str, token: str) -> None:
        with self._lock:
            name = self._lock_key(entry)
            if self._cache.get(name) == token:
                self._cache.delete(name)

    # What writers need

    @guarded(Exception, urgent=True)
    def fence(self, tags: Sequence[str], entries: Sequence[str], token: str) -> Told:
        names = self._protected(tags, entries)
        deadline = time.time() + settings.FENCE_TIMEOUT + settings.REPLICA_LAG
        with self._lock:
            found = self._cache.get_many(names)
            self._set_fences(
                {name: _others(found.get(name), token) for name in names}, token, deadline
            )
            # Whoever finds the mark must find the fence as well, so that comes first.
            self._mark(entries, token)
        return NOBODY

    def _mark(self, entries: Sequence[str], mark: str) -> None:
        """Put `mark` beside each of `entries`."""
        marks = {self._mark_key(entry): mark for entry in entries}
        if marks and (failed := self._cache.set_many(marks, MARK_TIMEOUT)):
            raise StoreRefused(f"could not set {failed}")

    def _set_fences(self, fences: Mapping[str, Mapping[str, int]], token: str, till: float) -> None:
        """Add the fence `token`, which lasts until the time `till`, to those standing."""
        self._set_many(
            {name: {**others, token: round(till * 1000)} for name, others in fences.items()}
        )

    def _set_many(self, fences: Mapping[str, Mapping[str, int]]) -> None:
        """Write fences that last as long as the last of the writers they name."""
        by_life: dict[int, dict[str, str]] = {}
        for name, writers in fences.items():
            spelled = "".join(f"!{writer}@{till}" for writer, till in writers.items())
            # One more, because some caches round what expires down to a whole second.
            life = max(1, ceil(max(writers.values()) / 1000 - time.time()) + 1)
            by_life.setdefault(life, {})[name] = spelled
        for life, values in by_life.items():
            if failed := self._cache.set_many(values, life):
                raise StoreRefused(f"could not set {failed}")

    @guarded(Exception, urgent=True)
    def deliver(self, delivery: Delivery) -> bool:
        with self._lock:
            self._lift(delivery)
        if keys := [key for key in delivery.keys if self._can_hold(key)]:
            self._cache.delete_many(keys)
        if delivery.counts:
            with self._lock:
                self._count(delivery.counts)
            if delivery.last:
                self._cache.set(self.shared(LAST), delivery.last, None)
        return True

    def _can_hold(self, key: str) -> bool:
        """Whether the cache takes `key` at all: Memcached refuses spaces, for instance."""
        try:
            self._cache.make_and_validate_key(key)
        except InvalidCacheKey:
            return False
        return True

    def _lift(self, delivery: Delivery) -> None:
        self._mark(delivery.entries, f"~{delivery.token}")
        names = self._protected(delivery.tags, delivery.entries)
        found = self._cache.get_many(names)
        standing = {name: _others(found.get(name), delivery.token) for name in names}
        if settings.REPLICA_LAG:
            self._set_fences(standing, delivery.token, time.time() + settings.REPLICA_LAG)
            return
        self._set_many({name: others for name, others in standing.items() if others})
        self._cache.delete_many([name for name in names if not standing[name]])

    def delete_patterns(self, patterns: Iterable[str]) -> int:
        raise PatternsNotSupported(
            f"The cache {self.alias!r} cannot list its keys, so nothing can be deleted by pattern."
        )


def has_own_names(cache: BaseCache) -> bool:
    """Whether the project decides what keys are called: by a KEY_FUNCTION, or in a subclass.

    Or whether its keys are tracked, which ours must not be.
    """
    kind = type(cache)
    if getattr(kind, "tracks_keys", False):
        return True
    is_plain = cache.key_func is default_key_func and kind.make_key is BaseCache.make_key
    return not is_plain or any(hasattr(kind, name) for name in ("key_prefix", "version"))


def verbatim(cache: BaseCache) -> BaseCache:
    """Return the same cache, connections and all, for which the name of a key is the key."""
    kind: Any = type(cache)
    twin: BaseCache = object.__new__(_verbatim(kind))
    twin.__dict__ = cache.__dict__
    return twin


@lru_cache
def _verbatim(kind: Any) -> Any:
    there = {"make_key": lambda self, key, version=None: key, "tracks_keys": False}
    return type(kind.__name__, (kind,), there)


def _is_entry(value: Any) -> TypeGuard[tuple[bytes, tuple[str, ...], Any, bytes]]:
    return isinstance(value, tuple) and len(value) == 4 and isinstance(value[0], bytes)


def _safe(name: str) -> str:
    """Return `name`, or a digest in its place if Memcached would not take it as a key."""
    if len(name) <= 200 and not _UNSAFE.search(name):
        return name
    return f"{NAMESPACE}~{blake2b(name.encode(), digest_size=16).hexdigest()}"


def _life(timeout: float | None, least: int) -> int | None:
    """Return how long versions and marks live, for an entry that is stored for `timeout`."""
    return None if timeout is None else max(least, ceil(timeout) + VERSION_GRACE)


def _version(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def standing_fences(value: Any) -> dict[str, int]:
    """Return the writers that a fence names and that are not timed out, with their deadlines."""
    if not (isinstance(value, str) and is_fence(value)):
        return {}
    now = time.time() * 1000
    return {writer: int(till) for writer, till in _FENCE.findall(value) if int(till) > now}


def _others(value: Any, token: str) -> dict[str, int]:
    return {writer: till for writer, till in standing_fences(value).items() if writer != token}
