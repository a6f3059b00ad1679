"""A race of blocks of `cached_together`, in which readers write now and then as well."""

import random
import time
from multiprocessing import parent_process
from typing import Any, Final

from cache_invalidation import cached, cached_together
from cache_invalidation.reads.together import Block
from example_project.airports.models import Airport
from example_project.race import loops
from example_project.race.strategies import TIMEOUT, Strategy

_WRITES: Final = 1 / 50  # of the blocks


class Together(Strategy):
    """Reads with declared tags, without them, and one that is made of another."""

    def __init__(self, pause: float) -> None:
        super().__init__(pause)
        self.keys = dict(Airport.objects.order_by("icao").values_list("icao", "pk"))
        self._row = cached(timeout=TIMEOUT)(self.query)
        self._declared = cached(timeout=TIMEOUT, tags=["airports.airport:{pk}"])(self.declared)
        self._outer = cached(timeout=TIMEOUT)(self.outer)
        self._count = cached(timeout=TIMEOUT)(self.count)

    def count(self) -> int:
        return len(self.keys)

    def declared(self, pk: int) -> int:
        self.misses += 1
        elevation = Airport.objects.values_list("elevation_ft", flat=True).get(pk=pk)
        time.sleep(random.uniform(0, self.pause))
        return elevation

    def outer(self, icao: str) -> int:
        return min(self._row(icao), self.query(icao))

    def read(self, icao: str) -> int:
        """Return the least of what is read in a block; -1 if one does not see its own write."""
        pk, committed = self.keys[icao], 0
        asked: list[tuple[Any, Any]] = [(self._row, icao), (self._declared, pk)]
        asked.append((self._outer, icao))
        random.shuffle(asked)
        with cached_together("race", icao=icao, pk=pk):
            self._count()  # Whatever is known of the others is fetched with this.
            # Whoever looks at the end what is left stale is no other process, and must not write.
            if parent_process() is not None and random.random() < _WRITES:
                committed = loops._raise_elevation(icao)
            found = min(function(argument) for function, argument in asked)
        return found if found >= committed else -1

    def forget(self, icao: str) -> None:
        for function in (self._row, self._outer):
            function.invalidate(icao)
        self._declared.invalidate(self.keys[icao])


class Heedless(Together):
    """The same with blocks that go on after a write."""

    def __init__(self, pause: float) -> None:
        super().__init__(pause)
        spoiled: Any = Block
        spoiled.give_up = lambda self: None


class Endless(Together):
    """The same with blocks that use what was fetched for those before them."""

    def __init__(self, pause: float) -> None:
        super().__init__(pause)
        spoiled: Any = Block
        kept: dict[str, Any] = {}
        found = Block._found

        def found_before(block: Any, read: Any) -> Any:
            kept.update(block._fetched)
            block._fetched = kept
            return found(block, read)

        spoiled._found = found_before
