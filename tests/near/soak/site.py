"""What is read and written in a soak: an elevation, near in each of the ways that there are.

The elevation of an airport only ever grows.
"""

import random
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Final, TypeVar

from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.template import Context, Engine, Library

from cache_invalidation import cached
from cache_invalidation.metrics.counters import counters
from cache_invalidation.views import cache_page
from example_project.airports.models import Airport
from tests.consistency.mixture import STATEMENTS, save
from tests.near.soak.course import Course, Tally
from tests.surfaces.asking import served

T = TypeVar("T")

PAUSE: Final = 0.001  # seconds, at most, between the query of a reader and its store
LIFETIME: Final = 3600  # seconds; so long that nothing goes for its age

register = Library()

_site: ContextVar["Site"] = ContextVar("_site")


@cached(near=True, timeout=LIFETIME)
def of_one(icao: str) -> int:
    return _site.get().query(icao)


@cached(near=True, timeout=LIFETIME)
def of_all() -> tuple[tuple[str, int], ...]:
    return tuple(_site.get().query_all().items())


@cache_page(LIFETIME, near=True)
def page(request: HttpRequest, icao: str) -> HttpResponse:
    return HttpResponse(str(_site.get().query(icao)))


@register.simple_tag
def elevation(icao: str) -> int:
    return _site.get().query(icao)


_BLOCK: Final = (
    f"{{% cached {LIFETIME} soak icao near=True %}}{{% elevation icao %}}{{% endcached %}}"
)
_engine: Final = Engine(
    loaders=[
        (
            "django.template.loaders.cached.Loader",
            [("django.template.loaders.locmem.Loader", {"soak": _BLOCK})],
        )
    ],
    builtins=["cache_invalidation.templatetags.cache_invalidation", __name__],
)


def of_list(icao: str) -> int:
    return dict(of_all())[icao]


def of_page(icao: str) -> int:
    return int(served(page, f"/{icao}/", icao).content)


def of_block(icao: str) -> int:
    return int(_engine.get_template("soak").render(Context({"icao": icao})))


#: Ways to read, each with its share of the reads: pages and blocks take a hundred times as long.
WAYS: Final[dict[Callable[[str], int], float]] = {
    of_one: 0.96,
    of_list: 0.02,
    of_page: 0.01,
    of_block: 0.01,
}


class Site:
    """How one process reads, which counts what it does."""

    def __init__(self, icaos: Sequence[str], tally: Tally) -> None:
        self._icaos = icaos
        self._tally = tally
        _site.set(self)
        _engine.get_template("soak")  # Whoever writes has to know that this may be near.
        _count_near(tally)

    def query(self, icao: str) -> int:
        """Return what the database has, after a pause in which a writer may overtake the reader."""
        return self._computed(Airport.objects.values_list("elevation_ft", flat=True).get(icao=icao))

    def query_all(self) -> dict[str, int]:
        return self._computed(self.truth())

    def truth(self) -> dict[str, int]:
        """Return what the database has for each row."""
        rows = Airport.objects.filter(icao__in=self._icaos)
        return dict(rows.order_by("icao").values_list("icao", "elevation_ft"))

    def _computed(self, found: T) -> T:
        self._tally.misses += 1
        time.sleep(random.uniform(0, PAUSE))
        return found


def _count_near(tally: Tally) -> None:
    """Have hits that are near counted for this process, besides for the site."""
    add = counters.add

    def adding(*names: str) -> None:
        tally.near += any(name.startswith("near:") for name in names)
        add(*names)

    counters.add = adding  # type: ignore[method-assign]


def raise_elevation(icao: str) -> int:
    """Raise the elevation by a foot in one of many ways; return what is committed.

    Only the database has writers take turns. The next one may go on at COMMIT, when this one has
    not got control back.
    """
    if random.random() < 0.2:
        return _in_autocommit(icao)
    with transaction.atomic():
        airport = Airport.objects.select_for_update().get(icao=icao)
        airport.elevation_ft += 1
        random.choice([save, save, *STATEMENTS])(airport)
    return airport.elevation_ft


def _in_autocommit(icao: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE airports_airport SET elevation_ft = elevation_ft + 1 WHERE icao = %s"
            " RETURNING elevation_ft",
            [icao],
        )
        (raised,) = cursor.fetchone()
    return int(raised)


def race(course: Course, site: Site, tally: Tally) -> None:
    """Read a random row in a random way, and compare with what was written before."""
    row = random.randrange(len(course.icaos))
    (read,) = random.choices(list(WAYS), list(WAYS.values()))
    # Noted before the read begins: what is committed in the meantime may be seen or not.
    newest = course.newest(row)
    value = read(course.icaos[row])
    if value < newest:
        tally.stale += 1
        tally.note(f"{read.__name__} {course.icaos[row]}: {value}, and {newest} was written")
    tally.reads += 1


def look(site: Site, tally: Tally) -> None:
    """Compare all that is cached with the database."""
    for icao, elevation in site.truth().items():
        for read in WAYS:
            value = read(icao)
            if value != elevation:
                tally.left += 1
                tally.note(f"left: {read.__name__} {icao}: {value}, and {elevation} is there")
