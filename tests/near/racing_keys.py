"""Tracked keys near, in races of several processes. Each is a strategy with a cache of its own."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.cache import cache
from django.db import transaction
from django.db.models.signals import post_save

from cache_invalidation.stores.messages import Filling
from cache_invalidation.stores.redis.near import RedisNear
from cache_invalidation.stores.redis.store import RedisStore
from example_project.airports.models import Airport
from example_project.race.strategies import TIMEOUT, HandTracked, Strategy, _key


class Dropped(HandTracked):
    """What is set depends on a row, and a write drops it, as does a receiver of the project."""


class Overwritten(Strategy):
    """What is set depends on nothing, and each writer sets the next value over it."""

    def read(self, icao: str) -> int:
        key = _key(icao)
        elevation: int | None = random.choice([cache.get, _among_many])(key)
        return self.query(icao) if elevation is None else elevation

    def forget(self, icao: str) -> None:
        cache.delete(_key(icao))

    @contextmanager
    def writing(self) -> Iterator[None]:
        post_save.connect(_set_on_commit, sender=Airport)
        try:
            yield
        finally:
            post_save.disconnect(_set_on_commit, sender=Airport)


def _among_many(key: str) -> int | None:
    found: dict[str, int] = cache.get_many([key, f"{key}:none"])
    return found.get(key)


def _set_on_commit(instance: Airport, **_kwargs: Any) -> None:
    transaction.on_commit(lambda: _set(instance))


def _set(airport: Airport) -> None:
    tracked: Any = cache  # Tells whether it is kept.
    if not tracked.set(_key(airport.icao), airport.elevation_ft, TIMEOUT):
        cache.delete(_key(airport.icao))


class DroppedByWhoDoesNotWait(Dropped):
    """A control: writers go on at once."""

    def __init__(self, pause: float) -> None:
        super().__init__(pause)
        _do_not_wait()


class OverwrittenByWhoDoesNotWait(Overwritten):
    """A control: who sets goes on at once."""

    def __init__(self, pause: float) -> None:
        super().__init__(pause)
        _do_not_wait()


class OverwrittenInSilence(Overwritten):
    """A control: nobody is told that another value is set."""

    def __init__(self, pause: float) -> None:
        super().__init__(pause)
        spoiled: Any = RedisStore
        spoiled._fill_and_tell = _fill_in_silence


def _do_not_wait() -> None:
    spoiled: Any = RedisNear
    spoiled._wait = lambda *args: None


def _fill_in_silence(self: RedisStore, filling: Filling, holder: str) -> int | None:
    command = self._filling("fill_and_hold", filling, holder, self._near)
    answer = int(self._servers.ask(*command))
    return answer - 1 if answer else None
