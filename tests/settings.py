"""Settings of the test run.

`tests.plugin` provides `REDIS_URL`, `DATABASE_URL` and `TEST_DIRECTORY`. Without them the module
still imports, with stand-ins that need no server, for the type checker and `--collect-only`.
The tests flush the Redis database that `REDIS_URL` names.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

from example_project.database_url import parse_database_url

DIRECTORY = Path(os.environ.get("TEST_DIRECTORY", tempfile.gettempdir()))
REDIS_URL = os.environ.get("REDIS_URL", "")
DATABASE_URL = os.environ.get("DATABASE_URL", "")

SECRET_KEY = "tests"
ALLOWED_HOSTS = ["testserver"]  # as in requests of the tests, in other processes as well
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.admin",
    "rest_framework",
    "drf_spectacular",
    "cache_invalidation",
    "example_project.airports",
    "tests.testapp",
    "tests.bookshop",
]

REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


def _sqlite(name: str) -> dict[str, Any]:
    # A file, because threads and processes cannot share a database in memory.
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DIRECTORY / f"{name}.sqlite3",
        "TEST": {"NAME": DIRECTORY / f"test_{name}.sqlite3"},
        "OPTIONS": {
            # A test may be killed, and the machine is not: nothing has to wait for the disk.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF",
            "timeout": 120,  # seconds to wait for another writer
        },
    }


def _database(name: str) -> dict[str, Any]:
    if not DATABASE_URL:
        return _sqlite(name)
    return {**parse_database_url(DATABASE_URL), "TEST": {"NAME": f"test_{name}"}}


DATABASES = {
    "default": _database("default"),
    "other": _database("other"),
    "sqlite": _sqlite("sqlite"),
}


def _redis(prefix: str, **options: Any) -> dict[str, Any]:
    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": prefix,
        "OPTIONS": {
            # Seconds; only what hangs takes as long, however busy the machine is.
            "SOCKET_TIMEOUT": 120,
            "SOCKET_CONNECT_TIMEOUT": 120,
            **options,
        },
    }


def _locmem(name: str) -> dict[str, Any]:
    return {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": name}


#: What is tracked where keys are, by the tests in `tests.tracked`.
TRACKED: dict[str, Any] = {
    "TRACK": ["product:*", "shop:*", "names", "views.decorators.cache.*"],
    "BLIND": ["shop:blind:*"],
}

CACHES = {
    "default": _redis("test") if REDIS_URL else _locmem("default"),
    "zlib": _redis(
        "zlib",
        COMPRESSOR="django_redis.compressors.zlib.ZlibCompressor",
        SERIALIZER="django_redis.serializers.json.JSONSerializer",
    ),
    "redis_django": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "redis_django",
    },
    "locmem": _locmem("locmem"),
    "dbcache": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "cache_table",
    },
    "tracked": _redis("tracked", **TRACKED) | {"BACKEND": "cache_invalidation.backends.RedisCache"},
    "tracked_locmem": {
        "BACKEND": "cache_invalidation.backends.LocMemCache",
        "LOCATION": "tracked_locmem",
        "OPTIONS": TRACKED,
    },
}

# Only one cache can be that of the app; the tests in `tests.tracked` make one with TRACK be it.
SILENCED_SYSTEM_CHECKS = ["cache_invalidation.E022"]
