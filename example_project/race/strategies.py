"""Ways to cache a value and to keep it right."""

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.db.models.signals import post_save
from django.test import override_settings
from django.utils.module_loading import import_string

from cache_invalidation import cached, no_invalidation
from example_project.airports.models import Airport

TIMEOUT = 300  # seconds; longer than any race, so that nothing goes for its age


class Strategy(ABC):
    """A cached read of an airport's elevation, and what keeps it right.

    `misses` counts how often the query was run. It is followed by a random pause of up to `pause`
    seconds, in which a writer may overtake the reader.
    """

    def __init__(self, pause: float) -> None:
        self.pause = pause
        self.misses = 0

    @abstractmethod
    def read(self, icao: str) -> int:
        """Return the elevation, from the cache if it is there."""

    @abstractmethod
    def forget(self, icao: str) -> None:
        """Remove what is cached, so that nothing is left of an earlier race."""

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold what keeps the cache right, while this process saves airports."""
        yield

    def query(self, icao: str) -> int:
        """Return the elevation from the database: what is expensive and worth caching."""
        self.misses += 1
        elevation = Airport.objects.values_list("elevation_ft", flat=True).get(icao=icao)
        if self.pause:
            time.sleep(random.uniform(0, self.pause))
        return elevation


class Hand(Strategy):
    """The recipe that most projects write."""

    def read(self, icao: str) -> int:
        elevation: int | None = cache.get(_key(icao))
        if elevation is None:
            elevation = self.query(icao)
            cache.set(_key(icao), elevation, TIMEOUT)
        return elevation

    def forget(self, icao: str) -> None:
        cache.delete(_key(icao))

    @contextmanager
    def writing(self) -> Iterator[None]:
        post_save.connect(_delete_on_commit, sender=Airport)
        try:
            # The site's own rules would do no harm, but they take time that is not the recipe's.
            with no_invalidation():
                yield
        finally:
            post_save.disconnect(_delete_on_commit, sender=Airport)


class HandTracked(Hand):
    """The same, with the cache of this app in the place of the one below it. See `tracked_cache`.

    In that, the app needs to see writes.
    """

    @contextmanager
    def writing(self) -> Iterator[None]:
        post_save.connect(_delete_on_commit, sender=Airport)
        try:
            yield
        finally:
            post_save.disconnect(_delete_on_commit, sender=Airport)


class NoReceiver(Hand):
    """The same without a receiver: nothing is written down for a write."""

    @contextmanager
    def writing(self) -> Iterator[None]:
        yield


class Ours(Strategy):
    """This app: `cached`. A rule in `example_project.airports.invalidation` tracks the code."""

    def __init__(self, pause: float) -> None:
        super().__init__(pause)
        self._elevation = cached(timeout=TIMEOUT)(self.query)

    def read(self, icao: str) -> int:
        return self._elevation(icao)

    def forget(self, icao: str) -> None:
        self._elevation.invalidate(icao)


def tracked_cache() -> AbstractContextManager[object]:
    """Have the cache of the site track the keys of a race, until the block ends."""
    there = settings.CACHES["default"]
    options = {**there.get("OPTIONS", {}), "TRACK": ["race:*"]}
    backend = "cache_invalidation.backends.RedisCache"
    default = {**there, "BACKEND": backend, "OPTIONS": options}
    return override_settings(CACHES={**settings.CACHES, "default": default})


def make_strategy(path: str, pause: float) -> Strategy:
    """Return the strategy with the dotted path `path`."""
    strategy: Strategy = import_string(path)(pause)
    return strategy


def _key(icao: str) -> str:
    return f"race:elevation:{icao}"


def _delete_on_commit(instance: Airport, **_kwargs: Any) -> None:
    transaction.on_commit(lambda: cache.delete(_key(instance.icao)))
