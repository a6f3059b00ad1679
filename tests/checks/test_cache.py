"""System checks of the alias, and of what kind of cache it is."""

from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import Error, Warning
from django.test import override_settings

from cache_invalidation.checks.cache import check_cache, check_time_limits
from tests.checks.reporting import (
    configured,
    only,
    reported,
    reported_in_production,
    with_cache,
    with_options,
)

# Django's own checks ask the server for its version, once.
pytestmark = pytest.mark.django_db(databases="__all__")

LOCMEM = "django.core.cache.backends.locmem.LocMemCache"


@pytest.fixture(autouse=True)
def unhurried() -> None:
    """Leave the defaults as they are, since they are what is judged here."""


@pytest.fixture(autouse=True)
def patient() -> None:
    """Leave the time limits as they are, too."""


class OwnLocMem(LocMemCache):
    """A project may have one of its own."""


def test_e004_a_cache_that_does_not_exist():
    with configured(CACHE="nope"):
        message = only(reported_in_production(), Error, "E004")
    assert "'nope'" in message.msg
    assert "default, locmem" not in message.msg
    assert all(alias in str(message.hint) for alias in django_settings.CACHES)


@pytest.mark.parametrize(
    "config",
    [
        {"BACKEND": "nowhere.Cache"},
        {"BACKEND": "tests.checks.test_cache.Nothing"},
        {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": ""},
        {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": "redis://localhost",
            "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefualtClient"},
        },
        {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": "redis://localhost",
            "OPTIONS": {"CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory"},
        },
        {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": "redis://localhost",
            "OPTIONS": {"SOCKET_TIMEOUT": "1"},
        },
        {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "localhost:6379"},
    ],
    ids=["module", "class", "location", "client", "sentinels", "time-out", "scheme"],
)
def test_e004_a_cache_that_cannot_be_made(config: dict[str, Any]):
    # Not by run_checks(): a check of Django's own stumbles over such a cache.
    broken = {**django_settings.CACHES, "broken": config}
    with override_settings(CACHES=broken), configured(CACHE="broken"):
        message = only(check_cache(), Error, "E004")
    assert "'broken'" in message.msg


@pytest.mark.parametrize(
    ("options", "fence_timeout", "expected"),
    [
        ({"SOCKET_TIMEOUT": 30}, 10, "30 s"),
        ({"SOCKET_TIMEOUT": 10}, 10, None),
        ({"SOCKET_TIMEOUT": 5}, 3, "5 s"),
        # What the app's own connections have where nothing is set.
        ({"SOCKET_TIMEOUT": None}, 0.5, "1 s"),
        ({"SOCKET_TIMEOUT": None}, 1, None),
        ({"CONNECTION_POOL_KWARGS": {"socket_timeout": 12}}, 10, "12 s"),
        ({"CONNECTION_POOL_KWARGS": {"socket_timeout": None}}, 10, "without end"),
    ],
)
def test_w001_an_answer_that_may_be_waited_for_longer_than_a_fence_stands(
    options: dict[str, Any], fence_timeout: float, expected: str | None
):
    with with_options(**options), configured(FENCE_TIMEOUT=fence_timeout):
        messages = reported()
    if expected is None:
        assert messages == []
    else:
        message = only(messages, Warning, "W001")
        assert f"({expected})" in message.msg
        assert f"{fence_timeout:g} s" in message.msg
        assert "'default'" in message.msg


@pytest.mark.parametrize(
    ("config", "is_long"),
    [
        ({"LOCATION": "redis://localhost?socket_timeout=20"}, True),
        ({"LOCATION": "redis://localhost?socket_timeout=2"}, False),
        (
            {
                "LOCATION": "redis://primary/0",
                "OPTIONS": {
                    "CLIENT_CLASS": "django_redis.client.SentinelClient",
                    "CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory",
                    "SENTINELS": [("localhost", 1)],
                    "SOCKET_TIMEOUT": 20,
                },
            },
            True,
        ),
        (
            {
                "LOCATION": "redis://localhost:1",
                "OPTIONS": {
                    "CLIENT_CLASS": "cache_invalidation.stores.redis.cluster.ClusterClient",
                    "SOCKET_TIMEOUT": 20,
                },
            },
            True,
        ),
        (
            {
                "LOCATION": "redis://localhost:1",
                "OPTIONS": {
                    "CLIENT_CLASS": "cache_invalidation.stores.redis.cluster.ClusterClient",
                },
            },
            False,
        ),
    ],
    ids=["url", "short url", "sentinel", "cluster", "cluster by default"],
)
def test_w001_wherever_the_time_out_is_set(config: dict[str, Any], is_long: bool):
    with with_cache(BACKEND="django_redis.cache.RedisCache", **config):
        assert len(check_time_limits()) == is_long


def test_a_time_out_that_is_no_number_is_not_for_the_checks_to_stumble_over():
    with with_options(CONNECTION_POOL_KWARGS={"socket_timeout": "soon"}):
        assert check_time_limits() == []


def test_a_cache_without_options_has_no_time_limit_to_judge():
    with override_settings(CACHES={"default": {"BACKEND": LOCMEM}}):
        assert reported() == []


def test_w006_a_cache_that_keeps_nothing():
    with with_cache(BACKEND="django.core.cache.backends.dummy.DummyCache"):
        message = only(reported(), Warning, "W006")
    assert "'default' is a DummyCache" in message.msg


@pytest.mark.parametrize("backend", [LOCMEM, f"{__name__}.OwnLocMem"])
def test_w007_the_memory_of_one_process_in_production(backend: str):
    with with_cache(BACKEND=backend):
        message = only(reported_in_production(), Warning, "W007")
        assert "'default'" in message.msg
        assert reported() == []
        with override_settings(DEBUG=True):
            assert reported_in_production() == []


@pytest.mark.parametrize(
    ("options", "kept"),
    [({}, 300), ({"MAX_ENTRIES": 200}, 200), ({"MAX_ENTRIES": 100_000}, None)],
)
@pytest.mark.parametrize("kind", ["db.DatabaseCache", "filebased.FileBasedCache"])
def test_w016_a_cache_that_keeps_few_keys(
    tmp_path: Any, kind: str, options: dict[str, Any], kept: int | None
):
    location = "cache_table" if kind.startswith("db.") else tmp_path
    backend = f"django.core.cache.backends.{kind}"
    with with_cache(BACKEND=backend, LOCATION=location, OPTIONS=options):
        messages = reported()
    if kept is None:
        assert messages == []
    else:
        assert f"keeps {kept} keys" in only(messages, Warning, "W016").msg


@pytest.mark.parametrize(
    ("location", "number"),
    [
        (["10.0.0.1:11211", "10.0.0.2:11211"], 1),
        ("10.0.0.1:11211;10.0.0.2:11211", 1),
        ("10.0.0.1:11211", 0),
        (["10.0.0.1:11211"], 0),
    ],
)
def test_w018_a_cache_on_several_memcached_servers(location: Any, number: int):
    backend = "django.core.cache.backends.memcached.PyMemcacheCache"
    with with_cache(BACKEND=backend, LOCATION=location):
        messages = check_cache()
    assert [message.id for message in messages] == ["cache_invalidation.W018"] * number
