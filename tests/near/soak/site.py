"""What is read and written in a soak: an elevation, near in each of the ways that there are.

The elevation of an airport only ever grows.
"""

import random
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final, TypeVar

from django.core.cache import cache
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.template import Context, Engine, Library

from cache_invalidation import cached
from cache_invalidation.reads.near import Looking
from cache_invalidation.stores.messages import Found
from cache_invalidation.views import cache_page
from example_project.airports.models import Airport
from tests.consistency.mixture import STATEMENTS, save
from tests.near.soak.course import KEYS, Course, Tally
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


def of_key(icao: str) -> int:
    key = f"{KEYS}{icao}"
    value: int | None = cache.get(key)
    if value is None:
        value = _site.get().query(icao)
        cache.set(key, value, LIFETIME)
    return value


_of_one: Final[Callable[[str], int]] = of_one

#: Ways to read besides that, which take up to a hundred times as long.
OTHERS: Final[Sequence[Callable[[str], int]]] = (of_list, of_page, of_block, of_key)


class Site:
    """How one process reads, which counts what it does."""

    def __init__(self, icaos: Sequence[str], tally: Tally) -> None:
        self._icaos = icaos
        self._tally = tally
        _site.set(self)
        _engine.get_template("soak")  # Whoever writes has to know that this may be near.
        self.asked = 0  # how often the server was asked for something
        _count_what_is_asked()

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


def _count_what_is_asked() -> None:
    look: Any = getattr(Looking.look, "__wrapped__", Looking.look)

    @wraps(look)
    def looking(*args: Any, **kwargs: Any) -> Found:
        _site.get().asked += 1
        found: Found = look(*args, **kwargs)
        return found

    Looking.look = looking  # type: ignore[method-assign]


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
    """Read random rows in random ways, and compare each with what was written before."""
    icaos, newest_of, pick, plain = course.icaos, course.newest, random.random, course.pace.plain
    rows, near = len(icaos), 0
    for _ in range(course.pace.reads):
        row, asked = int(pick() * rows), site.asked
        read = _of_one if pick() < plain else random.choice(OTHERS)
        # Noted before the read begins: what is committed in the meantime may be seen or not.
        newest = newest_of(row)
        value = read(icaos[row])
        if value < newest:
            tally.stale += 1
            tally.note(f"{read.__name__} {icaos[row]}: {value}, and {newest} was written")
        near += site.asked == asked
    tally.reads += course.pace.reads
    tally.near += near


def look(site: Site, tally: Tally) -> None:
    """Compare all that is cached with the database."""
    for icao, elevation in site.truth().items():
        for read in (_of_one, *OTHERS):
            value = read(icao)
            if value != elevation:
                tally.left += 1
                tally.note(f"left: {read.__name__} {icao}: {value}, and {elevation} is there")
