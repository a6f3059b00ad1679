"""The example site, asked by turns by several visitors while it is edited: as without a cache."""

import random
from collections import Counter
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db.models import F
from django.test import Client, override_settings

from cache_invalidation.surfaces.pages import outlook
from example_project.airports.models import Airport, Country

pytestmark = [pytest.mark.usefixtures("alpine", "site"), pytest.mark.slow]

REQUESTS = 300
URLS = [
    *("/", "/countries/CH/", "/countries/AT/", "/countries/XX/", "/airports/LSZH/"),
    *("/airports/LOWW/", "/airports/XXXX/", "/records/", "/search/", "/search/?q=zrh"),
    *("/api/airports/?country=CH", "/api/airports/?country=AT&page=2", "/api/airports/?utm=mail"),
]


def edit(chance: random.Random, users: list[User]) -> None:
    """Change something, in one of several ways."""
    airports = Airport.objects.order_by("icao")
    airport = airports[chance.randrange(20)]
    airport.name = f"{airport.name[:60]} {chance.randrange(10)}"
    airport.country_id = chance.choice(["CH", "AT"])
    match chance.randrange(4):
        case 0:
            airport.save()
        case 1:
            airports.filter(pk=airport.pk).update(elevation_ft=F("elevation_ft") + 1)
        case 2:
            Country.objects.filter(code="CH").update(name=f"Switzerland {chance.random():.3}")
        case 3:
            LogEntry.objects.create(
                user=chance.choice(users),
                content_type=ContentType.objects.get_for_model(Airport),
                object_id=str(airport.pk),
                object_repr=airport.name,
                action_flag=CHANGE,
            )


def differences(seed: int, requests: int = REQUESTS) -> tuple[int, Counter[str]]:
    """Return how many answers are not those without a cache, and what became of all of them."""
    chance = random.Random(seed)
    users = [User.objects.create_user(name) for name in (f"ann{seed}", f"ben{seed}")]
    visitors = [Client() for _ in range(3)]
    for visitor, user in zip(visitors, users, strict=False):
        visitor.force_login(user)
    wrong, became = 0, Counter[str]()
    for _ in range(requests):
        if chance.random() < 0.15:
            edit(chance, users)
        visitor, url = chance.choice(visitors), chance.choice(URLS)
        found: Any = visitor.get(url)
        with override_settings(CACHE_INVALIDATION={"CACHE": "missing"}):
            expected: Any = visitor.get(url)
        wrong += (found.status_code, found.content) != (expected.status_code, expected.content)
        became[found.headers.get("Cache-Status", "").partition("; ")[2]] += 1
    return wrong, became


def test_everybody_sees_what_they_would_see_without_a_cache() -> None:
    wrong, became = differences(1)
    assert wrong == 0
    assert became["hit"] > REQUESTS / 5


def test_whoever_forgets_who_asks_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(outlook)["_WHOLES"], "user", lambda looking: "somebody")
    assert any(differences(seed, 60)[0] for seed in range(2, 12))
