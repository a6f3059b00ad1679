"""The API, with a middleware of each kind, and a client that asks it with and without the cache."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client, override_settings

from cache_invalidation.surfaces.inputs import trail, variants
from tests import shop
from tests.testapp.models import Author, Category, Product, Review

MIDDLEWARE = [
    "cache_invalidation.middleware.CachePageMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]


@pytest.fixture(autouse=True)
def site() -> Iterator[None]:
    """Serve the API."""
    trail.steps.clear()
    variants.forget()
    with override_settings(
        ROOT_URLCONF="tests.rest.urls",
        MIDDLEWARE=MIDDLEWARE,
        ALLOWED_HOSTS=["testserver", "other.example"],
        CACHE_INVALIDATION={"CACHE_STATUS": True},
    ):
        yield


@pytest.fixture
def goods(transactional_db: None) -> None:
    """What there is to begin with."""
    for name in ("alice", "bob"):
        User.objects.create_user(name)
    User.objects.create_user("staff", is_staff=True)
    categories = [Category.objects.create(name=name) for name in ("Coffee", "Tea")]
    for number in range(7):
        Product.objects.create(
            name=f"product {number}",
            price=number % 3,
            stock=number,
            category=categories[number % 2],
        )
    product = Product.objects.all()[0]
    for rating in range(3):
        Review.objects.create(text=f"review {rating}", rating=rating, product=product)
    Author.objects.create(name="alice:1")


class Asker:
    """Somebody who asks the API."""

    def __init__(self, name: str | None = None, scope: str = "all") -> None:
        self.client = Client(raise_request_exception=False)
        self.headers = {"Authorization": f"Token {name} {scope}"} if name else {}

    def get(self, path: str, **headers: str) -> Any:
        """Return what the cached API says."""
        return self.client.get(path, headers={**self.headers, **headers})

    def uncached(self, path: str, **headers: str) -> Any:
        """Return what the other one says."""
        return self.client.get(f"/uncached{path}", headers={**self.headers, **headers})


def told(response: Any) -> tuple[Any, ...]:
    """Return what is to be the same, whichever of the two has said it."""
    headers = {name: value for name, value in response.items() if name not in _OURS}
    body = response.content.replace(b"/uncached/", b"/").replace(b"%2Funcached%2F", b"%2F")
    return response.status_code, headers, body


def status(response: Any) -> str:
    """Return where it comes from."""
    return str(response.headers.get("Cache-Status", "")).removeprefix("cache_invalidation; ")


# The time of an answer is another one for the next.
_OURS = {"Cache-Status", "ETag", "Cache-Control", "Content-Length", "Expires"}
TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [Path(shop.__file__).parent / "templates"]}]
