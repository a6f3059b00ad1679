"""What pages of the site cost: computed, from the cache, as a 304, and after an edit."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import Any

from django.contrib.auth.models import User
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
    "API": "/api/airports/",
}
EDITED = "LFSB"  # on French soil, and run together with Switzerland
NEW_COUNTRY = "CH"

# The first shows to those who are logged in what they have edited; the second is the same for all.
LOOKED_AT = {"Countries": "/", "Zürich": "/airports/LSZH/"}
VISITORS = "ann", "ben", "ann", "ben"

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Visit:
    """What a visit to a page cost, and the name of what was answered."""

    queries: int
    milliseconds: float
    etag: str = ""

    def __str__(self) -> str:
        return f"{self.queries}  {self.milliseconds:5.1f} ms"


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
    held = {page: visit.etag for page, visit in _visit_all(client).items()}
    same = _median_of([_visit_all(client, held) for _ in range(ROUNDS)])
    with observed() as dropped:
        started = perf_counter()
        airport = move(EDITED, NEW_COUNTRY)
        milliseconds = (perf_counter() - started) * 1000
    edited = _visit_all(client)

    columns = {"computed": computed, "hit": cached, "304": same, "after the edit": edited}
    console.print(_table(columns))
    console.print("Database queries, and how long it took.")
    console.print(
        f"The edit: {airport.name} was moved from France to {airport.country.name} and saved, in "
        f"{milliseconds:.1f} ms, of which {dropped.seconds * 1000:.1f} ms went into dropping "
        f"{len(dropped.tags)} tags:"
    )
    # A tag is no place for markup, nor for the emoji that ":100:" would become.
    tags = "   ".join(sorted(dropped.tags))
    console.print(tags, style="cyan", highlight=False, markup=False, emoji=False)


def show_visitors(console: Console) -> None:
    """Have two users look at the same pages, and print whose pages they got."""
    clients = {name: _logged_in(name) for name in dict.fromkeys(VISITORS)}
    table = Table("page")
    for visitor in VISITORS:
        table.add_column(f"seen by {visitor}")
    for page, url in LOOKED_AT.items():
        invalidate(Airport)
        table.add_row(page, *(_shown(clients[visitor], url, clients) for visitor in VISITORS))
    console.print(table)
    console.print(
        "A page that shows who looks is made for each of them. One that does not is made once."
    )


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


def _logged_in(name: str) -> Client:
    client = Client(SERVER_NAME="127.0.0.1")
    user, _ = User.objects.get_or_create(username=name)
    client.force_login(user)
    return client


def _shown(client: Client, url: str, names: Iterable[str]) -> str:
    response = _get(client, url)
    outcome = response.headers["Cache-Status"].removeprefix("cache_invalidation; ")
    shown = [name for name in names if f"last, {name}<" in response.content.decode()]
    return f"{'hit' if outcome == 'hit' else 'made'} for {' and '.join(shown) or 'all'}"


def _visit_all_anew(client: Client) -> dict[str, Visit]:
    invalidate(Airport)
    invalidate(Country)
    return _visit_all(client)


def _visit_all(client: Client, held: Mapping[str, str] | None = None) -> dict[str, Visit]:
    """Visit all pages, as a browser that holds what `held` names."""
    return {page: _visit(client, url, (held or {}).get(page, "")) for page, url in PAGES.items()}


def _visit(client: Client, url: str, held: str) -> Visit:
    cost = PageCost()
    with connection.execute_wrapper(cost.count_query):
        response = _get(client, url, held)
    return Visit(cost.queries, cost.milliseconds, response.headers["ETag"])


def _get(client: Client, url: str, held: str = "") -> Any:
    response = client.get(url, headers={"If-None-Match": held} if held else {})
    if response.status_code != (304 if held else 200):
        raise RuntimeError(f"{url} answered {response.status_code}")
    return response


def _median_of(rounds: list[dict[str, Visit]]) -> dict[str, Visit]:
    return {
        page: Visit(
            max(visits[page].queries for visits in rounds),
            median(visits[page].milliseconds for visits in rounds),
        )
        for page in PAGES
    }


def _table(columns: Mapping[str, Mapping[str, Visit]]) -> Table:
    table = Table("page")
    for heading in columns:
        table.add_column(heading, justify="right")
    for page in PAGES:
        visits = [column[page] for column in columns.values()]
        colour = "yellow" if visits[-1].queries else "green"
        table.add_row(page, *map(str, visits[:-1]), f"[{colour}]{visits[-1]}[/]")
    return table
