import pytest
from django.test import Client
from pytest_django import Settings

from example_project.airports.loading import load, read_airports


@pytest.fixture
def site(settings: Settings) -> None:
    """The pages of the example project, with the cache and the databases of the tests."""
    settings.ROOT_URLCONF = "example_project.urls"
    settings.ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
    settings.CACHE_INVALIDATION = {"CACHE_STATUS": True, "EXCLUDE": ("sessions", "migrations")}
    settings.STATIC_URL = "static/"
    settings.MIDDLEWARE = [
        "cache_invalidation.middleware.CachePageMiddleware",
        "example_project.airports.middleware.PageCostMiddleware",
        *settings.MIDDLEWARE,
    ]


@pytest.fixture
def client(site: None) -> Client:
    return Client()


@pytest.fixture
def alpine(transactional_db: None) -> None:
    """The airports of Switzerland, Austria and Liechtenstein (none), with their COMMIT."""
    load(read_airports(["CH", "AT", "LI"]))
