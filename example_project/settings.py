"""Settings of the airport directory.

`DATABASE_URL` and `REDIS_URL` name the servers. Without them the site uses a SQLite file and a
cache inside of the process, which needs nothing installed.
"""

import os
from pathlib import Path
from typing import Any

from example_project.database_url import parse_database_url

BASE_DIR = Path(__file__).resolve().parent.parent

# A site to try things on, reachable from this machine only.
SECRET_KEY = "not-a-secret"  # noqa: S105
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "cache_invalidation",
    "example_project.airports",
]

MIDDLEWARE = [
    "cache_invalidation.middleware.CachePageMiddleware",
    "example_project.airports.middleware.PageCostMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "example_project.urls"
WSGI_APPLICATION = "example_project.wsgi.application"
ASGI_APPLICATION = "example_project.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]


def _database() -> dict[str, Any]:
    if url := os.environ.get("DATABASE_URL"):
        return parse_database_url(url)
    directory = BASE_DIR / "var"
    directory.mkdir(exist_ok=True)
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": directory / "airports.sqlite3",
        # Readers go on while somebody writes, and a second writer waits instead of failing.
        "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL", "transaction_mode": "IMMEDIATE"},
    }


def _cache() -> dict[str, Any]:
    if url := os.environ.get("REDIS_URL"):
        return {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": url,
            "KEY_PREFIX": "airports",
            # A cache that hangs is worse than one that is down: give up soon.
            "OPTIONS": {"SOCKET_TIMEOUT": 1, "SOCKET_CONNECT_TIMEOUT": 1},  # seconds
        }
    return {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}


DATABASES = {"default": _database()}
CACHES = {"default": _cache()}

# Every key has a default: which cache to use, what to do while it is down, and so on.
CACHE_INVALIDATION: dict[str, Any] = {
    # Each page says in a header whether it came from the cache, also without DEBUG.
    "CACHE_STATUS": True,
    # The default without the log of the admin, which is shown to those who have edited something.
    "EXCLUDE": ("sessions", "migrations"),
}

REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}
SPECTACULAR_SETTINGS = {"TITLE": "Airport directory", "VERSION": "1"}

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
TIME_ZONE = "UTC"
USE_TZ = True
