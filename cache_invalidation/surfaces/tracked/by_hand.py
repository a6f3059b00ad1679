"""What is done to tracked values in Redis by hand. Who keeps them near is told in the same step.

If they have to be waited for, that is counted by the `name` of what tracks the key.
Nothing in here raises for a failure of the store, but for `put`.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast

from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.metrics.counters import counters
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import OnWait
from cache_invalidation.stores.redis.store import RedisStore


def put(place: str, name: str, value: Any, lifetime: float | None) -> bool:
    """Put a value there, as it is, if there is nothing; tell whether it was.

    Raises `CacheInvalidationError` if the store fails.
    """
    return lifetime == 0 or _store().put_plain(place, value, lifetime, _waited(name))


def expire(place: str, name: str, command: str, *when: int) -> bool:
    """Have what is there expire by ``PEXPIRE`` or ``PEXPIREAT``; tell whether it is there."""
    with suppress(CacheInvalidationError):
        return _store().expire(place, _waited(name), command, *when)
    return False


def persist(place: str, name: str) -> bool:
    """Have what is there live for ever; tell whether it would not have."""
    return expire(place, name, "PERSIST")


def from_now(unit: int) -> Callable[[Any], int]:
    """Return what makes milliseconds of a number of units, or of a `timedelta`."""
    return lambda when: round(
        when / timedelta(milliseconds=1) if isinstance(when, timedelta) else when * unit
    )


def at(unit: int) -> Callable[[Any], int]:
    """Return what makes milliseconds since the epoch of a number of units, or of a `datetime`."""
    return lambda when: round(
        when.timestamp() * 1000 if isinstance(when, datetime) else when * unit
    )


def clear(flush: Callable[[], Any], *, is_plain: bool) -> Any:
    """Remove everything, as `flush` does; nobody has any of it in his memory any more.

    It `is_plain` if that is the whole database, and nothing else.
    """
    try:
        store = _store()
    except CacheInvalidationError:
        return flush()
    if not store.finds_holders:
        return flush()
    if is_plain:
        with suppress(CacheInvalidationError):
            return store.clear(_waited("clear"))
    # Nobody knows what this removes: perhaps those who would be told, perhaps not.
    with suppress(CacheInvalidationError):
        store.drop_everything(_waited("clear"))
    try:
        return flush()
    finally:
        with suppress(CacheInvalidationError):
            store.drop_everything(_waited("clear"))


def _waited(name: str) -> OnWait:
    return partial(counters.waited, name)


def _store() -> RedisStore:
    """Return the store, which is one of Redis: others have no use for this."""
    return cast(RedisStore, get_store())
