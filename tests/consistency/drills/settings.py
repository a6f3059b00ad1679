"""Settings of the processes of a drill: those of the tests, with one database and one cache."""

from tests import settings as tests
from tests.settings import *  # noqa: F403

DATABASES = {"default": tests.DATABASES["default"]}

# Which cache it is, every drill says itself.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
