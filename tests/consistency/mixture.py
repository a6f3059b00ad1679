"""A race of every kind of read and write: half of them rely on the SQL watcher, half do not.

One of six reads is that of a page, a block or a response; whoever asks for the first and the last
keeps what was got, and asks whether that still holds. One of six is cached by hand, where the keys
are tracked that it is kept under.

See `example_project.race`. The elevation of an airport only ever grows.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Final, TypeVar
from unittest import mock

from django.db import connection, transaction
from django.db.models import F, Max, Q

from cache_invalidation import ModelInvalidation, cached, registry
from cache_invalidation.stores import get_store
from example_project.airports.models import Airport
from example_project.race import loops
from example_project.race.strategies import TIMEOUT, Strategy
from tests.surfaces.asking import BLOCK, HELD, HELD_RESPONSE, Asked
from tests.surfaces.by_hand import TRACKED

T = TypeVar("T")
Block = AbstractContextManager[Any]

ROWS: Final = 16  # as many as race
SHOWN: Final = (HELD, BLOCK, HELD_RESPONSE)


class Mixture(Strategy):
    """Reads with declared tags, and without them by key, as a list and as an aggregate."""

    def __init__(self, pause: float) -> None:
        super().__init__(pause)
        self.keys = dict(Airport.objects.order_by("icao").values_list("icao", "pk")[:ROWS])
        self._declared = cached(timeout=TIMEOUT, tags=["airports.airport:{pk}"])(self.declared)
        self._row = cached(timeout=TIMEOUT)(self.row)
        self._all = cached(timeout=TIMEOUT)(self.all)
        self._aggregate = cached(timeout=TIMEOUT)(self.aggregate)
        self._by_hand = TRACKED if get_store().tracking is not None else ()
        shown = (*SHOWN, *self._by_hand)
        self._surfaces = {kind: Asked(kind, self.row, f"race, {kind}") for kind in shown}

    def read(self, icao: str) -> int:
        if random.random() < 1 / 6:
            return self._shown(random.choice(SHOWN), icao)
        if self._by_hand and random.random() < 1 / 5:
            return self._shown(random.choice(self._by_hand), icao)
        kind = random.random()
        if kind < 0.5:
            return self._declared(self.keys[icao])
        if kind < 0.9:
            return self._row(self.keys[icao])
        return (self._all if kind < 0.95 else self._aggregate)()[icao]

    def forget(self, icao: str) -> None:
        self._declared.invalidate(self.keys[icao])
        self._row.invalidate(self.keys[icao])
        self._all.invalidate()
        self._aggregate.invalidate()
        for asked in self._surfaces.values():
            asked.forget(self.keys[icao])

    def left_stale(self) -> list[tuple[str, str]]:
        """Return what is cached and is not what the database has: the kind, and the airport."""
        truth = self.all()
        kinds: dict[str, Callable[[str], int]] = {
            "declared": lambda icao: self._declared(self.keys[icao]),
            "row": lambda icao: self._row(self.keys[icao]),
            "all": lambda icao: self._all()[icao],
            "aggregate": lambda icao: self._aggregate()[icao],
            **{kind: partial(self._shown, kind) for kind in self._surfaces},
        }
        return [
            (name, icao)
            for name, read in kinds.items()
            for icao, elevation in truth.items()
            if read(icao) != elevation
        ]

    def _shown(self, kind: str, icao: str) -> int:
        return int(self._surfaces[kind](self.keys[icao]))

    @contextmanager
    def writing(self) -> Iterator[None]:
        with mock.patch(f"{loops.__name__}._raise_elevation", raise_elevation):
            yield

    def declared(self, pk: int) -> int:
        return self.paused(Airport.objects.values_list("elevation_ft", flat=True).get(pk=pk))

    def row(self, pk: int) -> int:
        return self.paused(Airport.objects.get(pk=pk).elevation_ft)

    def all(self) -> dict[str, int]:
        rows = Airport.objects.filter(pk__in=self.keys.values())
        return self.paused(dict(rows.values_list("icao", "elevation_ft")))

    def aggregate(self) -> dict[str, int]:
        each = {icao: Max("elevation_ft", filter=Q(pk=pk)) for icao, pk in self.keys.items()}
        return self.paused(Airport.objects.aggregate(**each))

    def paused(self, found: T) -> T:
        """Return what was found, after a pause in which a writer may overtake the reader."""
        self.misses += 1
        time.sleep(random.uniform(0, self.pause))
        return found


def raise_elevation(icao: str) -> int:
    """Raise the elevation by a foot in one of many ways; return what is committed."""
    way = random.choice([save, save, save, save, *STATEMENTS])
    # With the rule of the example, statements are executed between two reads of their rows.
    rules: list[Block] = [registry.override(Airport, ModelInvalidation), nullcontext()]
    transactions: list[Block] = [transaction.atomic(), nullcontext()]
    with random.choice(rules), random.choice(transactions):
        airport = Airport.objects.get(icao=icao)
        airport.elevation_ft += 1
        way(airport)
    return airport.elevation_ft


def save(airport: Airport) -> None:
    airport.save()


def update_by_key(airport: Airport) -> None:
    assert Airport.objects.filter(pk=airport.pk).update(elevation_ft=airport.elevation_ft) == 1


def update_by_code(airport: Airport) -> None:
    rows = Airport.objects.filter(icao=airport.icao)
    assert rows.update(elevation_ft=F("elevation_ft") + 1) == 1


def update_in_sql(airport: Airport) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE airports_airport SET elevation_ft = %s WHERE id = %s",
            [airport.elevation_ft, airport.pk],
        )
        assert cursor.rowcount == 1


def update_in_bulk(airport: Airport) -> None:
    assert Airport.objects.bulk_update([airport], ["elevation_ft"]) == 1


STATEMENTS: Final[list[Callable[[Airport], None]]] = [
    update_by_key,
    update_by_code,
    update_in_sql,
    update_in_bulk,
]
