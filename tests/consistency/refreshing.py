"""A race in which every hit is refreshed in the background, and readers warm what was dropped."""

import random
import time
from typing import Any, Final

from cache_invalidation import cached
from cache_invalidation.operations.warming import Budget, Warmer
from cache_invalidation.reads import ahead, hottest
from example_project.airports.models import Airport
from example_project.race.strategies import Strategy

TIMEOUT: Final = 1000.0  # seconds; nothing goes for its age

_ROUND: Final = 1 / 100  # of the reads, those before which a round is made


class Refreshing(Strategy):
    """Reads with declared tags and without them; all of them are about to expire."""

    def __init__(self, pause: float) -> None:
        super().__init__(pause)
        spoiled: Any = ahead
        spoiled.DUE, spoiled._PAUSE = 0.0, (0.0, 0.0)
        spoiled = hottest
        spoiled.SAMPLED = 1
        tags = ["airports.airport:{pk}"]
        self.keys = dict(Airport.objects.order_by("icao").values_list("icao", "pk"))
        self._declared = cached(timeout=TIMEOUT, refresh=True, tags=tags)(self.declared)
        self._row = cached(timeout=TIMEOUT, refresh=True)(self.query)
        self._warmed = cached(timeout=TIMEOUT, tags=tags)(self.warmed)
        self._warmer = Warmer(Budget(limit=50))

    def declared(self, pk: int) -> int:
        self.misses += 1
        elevation = Airport.objects.values_list("elevation_ft", flat=True).get(pk=pk)
        if self.pause:
            time.sleep(random.uniform(0, self.pause))
        return elevation

    def warmed(self, pk: int) -> int:
        return self.declared(pk)

    def read(self, icao: str) -> int:
        if random.random() < _ROUND:
            for _ in self._warmer.round():
                pass
        kind = random.random()
        if kind < 1 / 3:
            return self._row(icao)
        function = self._declared if kind < 2 / 3 else self._warmed
        return function(self.keys[icao])

    def forget(self, icao: str) -> None:
        self._row.invalidate(icao)
        self._declared.invalidate(self.keys[icao])
        self._warmed.invalidate(self.keys[icao])
