"""What pages of the site cost: computed, from the cache, and after an edit."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import Any

from django.db import connection
from django.test import Client
from rich.console import Console
from rich.table import Table

from cache_invalidation import Invalidation, invalidate
from cache_invalidation.signals import invalidated
from example_project.airports.middleware import PageCost
from example_project.airports.models import Airport, Country

PAGES = {
    "Countries": "/",
    "France": "/countries/FR/",
    "Switzerland": "/countries/CH/",
    "Brazil": "/countries/BR/",
    "Basel-Mulhouse": "/airports/LFSB/",
    "Zürich": "/airports/LSZH/",
    "São Paulo": "/airports/SBGR/",
    "Records": "/records/",
}
EDITED = "LFSB"  # on French soil, and run together with Switzerland
NEW_COUNTRY = "CH"

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Visit:
    """What a visit to a page cost."""

    queries: int
    milliseconds: float

    def __str__(self) -> str:
        queries = "query  " if self.queries == 1 else "queries"
        return f"{self.queries} {queries} {self.milliseconds:4.1f} ms"


@dataclass(slots=True)
class Deliveries:
    """The tags that were dropped while somebody was looking, and the seconds it took."""

    tags: set[str] = field(default_factory=set)
    seconds: float = 0.0

    def add(self, invalidation: Invalidation, duration: float, **_kwargs: Any) -> None:
        """Receive the signal `invalidated`."""
        self.tags |= invalidation.tags
        self.seconds += duration


def show(console: Console) -> None:
    """Visit the pages, edit an airport, visit them again, and print what it all cost."""
    client = Client(SERVER_NAME="127.0.0.1")
    # The very first visits also pay for loading the templates.
    _visit_all(client)
    computed = _median_of([_visit_all_anew(client) for _ in range(ROUNDS)])
    cached = _median_of([_visit_all(client) for _ in range(ROUNDS)])
    with observed() as dropped:
        started = perf_counter()
        airport = move(EDITED, NEW_COUNTRY)
        milliseconds = (perf_counter() - started) * 1000
    edited = _visit_all(client)

    console.print(_table(computed, cached, edited))
    console.print(
        f"The edit: {airport.name} was moved from France to {airport.country.name} and saved, in "
        f"{milliseconds:.1f} ms, of which {dropped.seconds * 1000:.1f} ms went into dropping "
        f"{len(dropped.tags)} tags:"
    )
    # A tag is no place for markup, nor for the emoji that ":100:" would become.
    tags = "   ".join(sorted(dropped.tags))
    console.print(tags, style="cyan", highlight=False, markup=False, emoji=False)


def move(icao: str, country: str) -> Airport:
    """Put an airport into another country, without a word about the cache."""
    airport = Airport.objects.get(icao=icao)
    airport.country = Country.objects.get(code=country)
    airport.save()
    return airport


@contextmanager
def observed() -> Iterator[Deliveries]:
    """Collect what is invalidated inside of the block."""
    deliveries = Deliveries()
    # The signal keeps weak references, and a bound method has no other.
    invalidated.connect(deliveries.add, weak=False)
    try:
        yield deliveries
    finally:
        invalidated.disconnect(deliveries.add)


def _visit_all_anew(client: Client) -> dict[str, Visit]:
    invalidate(Airport)
    invalidate(Country)
    return _visit_all(client)


def _visit_all(client: Client) -> dict[str, Visit]:
    return {page: _visit(client, url) for page, url in PAGES.items()}


def _visit(client: Client, url: str) -> Visit:
    cost = PageCost()
    with connection.execute_wrapper(cost.count_query):
        response = client.get(url)
    if response.status_code != 200:
        raise RuntimeError(f"{url} answered {response.status_code}")
    return Visit(cost.queries, cost.milliseconds)


def _median_of(rounds: list[dict[str, Visit]]) -> dict[str, Visit]:
    return {
        page: Visit(
            max(visits[page].queries for visits in rounds),
            median(visits[page].milliseconds for visits in rounds),
        )
        for page in PAGES
    }


def _table(
    computed: Mapping[str, Visit], cached: Mapping[str, Visit], edited: Mapping[str, Visit]
) -> Table:
    table = Table("page")
    for heading in ("computed", "from the cache", "after the edit"):
        table.add_column(heading, justify="right")
    for page in PAGES:
        colour = "yellow" if edited[page].queries else "green"
        table.add_row(page, str(computed[page]), str(cached[page]), f"[{colour}]{edited[page]}[/]")
    return table
