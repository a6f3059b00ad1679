"""The traffic of the example site, with the airports of a few countries."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from random import Random
from typing import Any, Final

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db.models import F
from django.test import Client, override_settings

from example_project.airports.loading import load, read_airports
from example_project.airports.models import Airport, Country
from tests.benchmarks.replay.traffic import popular

SETTINGS: Final[dict[str, Any]] = {
    "ROOT_URLCONF": "example_project.urls",
    "ALLOWED_HOSTS": ["testserver"],
    "CACHE_INVALIDATION": {"EXCLUDE": ("sessions", "migrations")},
    "MIDDLEWARE": [
        "cache_invalidation.middleware.CachePageMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
}
COUNTRIES: Final = ["DE", "IT", "CH", "AT", "SK", "SI", "LI"]


class Airports:
    """The airports of Alpine countries and of their neighbours."""

    name = "airports"

    def __init__(self) -> None:
        random = Random(1)
        load(read_airports(COUNTRIES))
        self._codes = sorted(Airport.objects.values_list("icao", flat=True))
        random.shuffle(self._codes)
        self._numbers = count()
        self._users = [User.objects.create(username=name) for name in ("ann", "ben")]
        self._anonymous, *self._clients = Client(), Client(), Client()
        for client, user in zip(self._clients, self._users, strict=True):
            client.force_login(user)

    @classmethod
    @contextmanager
    def open(cls) -> Iterator["Airports"]:
        """Have the site serve its pages until the block ends."""
        with override_settings(**SETTINGS):
            yield cls()

    def read(self, random: Random) -> None:
        """Visit a page, the popular ones more often, now and then as somebody who is logged in."""
        code, country = popular(random, self._codes), popular(random, COUNTRIES)
        path = random.choices(
            [
                "/",
                f"/countries/{country}/?page={popular(random, [1, 2, 3])}",
                f"/airports/{code}/",
                "/records/",
                f"/api/airports/?search={country}",
                f"/api/airports/{code}/",
            ],
            [15, 25, 40, 5, 5, 10],
        )[0]
        visitors = [self._anonymous, *self._clients]
        response = random.choices(visitors, [18, 1, 1])[0].get(path)
        assert response.status_code in (200, 404), path

    @property
    def writes(self) -> Mapping[str, tuple[int, Callable[[Random], Any]]]:
        """Each kind of write, and how often it is done next to the others."""
        return {
            "login": (30, self._log_in),
            "edited in the admin": (20, self._edit),
            "city by update()": (15, self._move_city),
            "elevation by update(F)": (5, self._raise),
            "renamed": (10, self._rename),
            "IATA code given": (5, self._give_code),
            "moved": (3, self._move),
            "import, again": (3, self._load_again),
            "import of what has changed": (3, self._load),
            "time zone of a country by update()": (2, self._change_time_zone),
            "country renamed": (1, self._rename_country),
            "deleted": (2, self._delete),
            "created": (2, self._create),
        }

    def _airport(self, random: Random) -> Airport:
        return Airport.objects.get(icao=random.choice(self._codes))

    def _log_in(self, random: Random) -> None:
        Client().force_login(random.choice(self._users))

    def _edit(self, random: Random) -> None:
        airport, user = self._airport(random), random.choice(self._users)
        airport.city = f"City {next(self._numbers)}"
        airport.save()
        LogEntry.objects.create(
            user=user,
            content_type=ContentType.objects.get_for_model(Airport),
            object_id=str(airport.pk),
            object_repr=str(airport),
            action_flag=CHANGE,
        )

    def _move_city(self, random: Random) -> None:
        code = random.choice(self._codes)
        Airport.objects.filter(icao=code).update(city=f"City {next(self._numbers)}")

    def _raise(self, random: Random) -> None:
        code = random.choice(self._codes)
        Airport.objects.filter(icao=code).update(elevation_ft=F("elevation_ft") + 1)

    def _rename(self, random: Random) -> None:
        airport = self._airport(random)
        airport.name = f"{airport.name}, renamed"[-100:]
        airport.save(update_fields=["name"])

    def _give_code(self, random: Random) -> None:
        airport = self._airport(random)
        airport.iata = "".join(random.choices("ABCDEFGHIJ", k=3))
        airport.save()

    def _move(self, random: Random) -> None:
        airport = self._airport(random)
        airport.latitude += 0.01
        airport.save()

    def _load_again(self, random: Random) -> None:
        load(list(Airport.objects.all()))

    def _load(self, random: Random) -> None:
        airports = [self._airport(random) for _ in range(3)]
        for airport in airports:
            airport.elevation_ft += 2
        load(airports)

    def _change_time_zone(self, random: Random) -> None:
        country = random.choice(COUNTRIES)
        Airport.objects.filter(country=country).update(timezone=f"Europe/{next(self._numbers)}")

    def _rename_country(self, random: Random) -> None:
        country = Country.objects.get(code=random.choice(COUNTRIES))
        country.name = f"Country {next(self._numbers)}"
        country.save()

    def _delete(self, random: Random) -> None:
        Airport.objects.get(icao=self._codes.pop()).delete()

    def _create(self, random: Random) -> None:
        near, code = self._airport(random), f"_{next(self._numbers):03}"
        Airport.objects.create(
            icao=code,
            name=f"Airport {code}",
            country_id=near.country_id,
            elevation_ft=near.elevation_ft,
            latitude=near.latitude,
            longitude=near.longitude,
            timezone=near.timezone,
        )
        self._codes.insert(0, code)
