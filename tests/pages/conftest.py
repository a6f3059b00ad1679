"""The shop with a middleware of each kind."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.test import override_settings

from cache_invalidation.surfaces.inputs import trail, variants
from tests import shop

MIDDLEWARE = [
    "cache_invalidation.middleware.CachePageMiddleware",
    "tests.shop.middleware.uncached",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "tests.shop.middleware.in_time_zone",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {**settings.TEMPLATES[0], "DIRS": [Path(shop.__file__).parent / "templates"]},
]


@pytest.fixture(autouse=True)
def site() -> Iterator[None]:
    """Serve the shop."""
    trail.steps.clear()
    variants.forget()
    with override_settings(
        ROOT_URLCONF="tests.shop.urls",
        MIDDLEWARE=MIDDLEWARE,
        TEMPLATES=TEMPLATES,
        ALLOWED_HOSTS=["testserver", "other.example"],
        LANGUAGES=[("en", "English"), ("de", "Deutsch")],
        CACHE_INVALIDATION={"CACHE_STATUS": True},
    ):
        yield
