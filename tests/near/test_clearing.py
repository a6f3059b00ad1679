"""`cache.clear()` where tracked keys are kept near: it takes those who would be told as well."""

from typing import Any

import pytest
from django.core.cache import cache
from django_redis.client import DefaultClient

from cache_invalidation.stores import near
from tests.near.conftest import has_lease, until
from tests.near.keys import OPTIONS, acting, caches_with
from tests.near.test_tracked_keys import get, put

pytestmark = pytest.mark.django_db(transaction=True)


class Client(DefaultClient[Any]):
    """One that empties the cache in a way of its own."""

    def clear(self, client: Any = None) -> None:
        """Delete what begins with the prefix of the cache."""
        self.delete_pattern("*")


@pytest.fixture(autouse=True)
def long_leases() -> None:
    """Leave leases as short as they are: they are what is waited for."""


@pytest.fixture(autouse=True)
def tracked(settings: Any, in_use: None, request: Any) -> None:
    settings.CACHES = caches_with(**OPTIONS, **getattr(request, "param", {}))


OWN = {"CLIENT_CLASS": f"{__name__}.{Client.__name__}"}


@pytest.mark.parametrize("knows", [True, False], ids=["", "by who does not know NEAR"])
@pytest.mark.parametrize("tracked", [{}, OWN], ids=["all", "in a way of its own"], indirect=True)
def test_nobody_has_anything_of_it_any_more(store, other, knows, tracked):
    until(lambda: has_lease(other))
    assert put("old")
    with acting(other):
        until(lambda: get() == "old" and bool(other.near.memory))
    near._in_use = knows
    cache.clear()
    with acting(other):
        assert get() is None
    assert get() is None
    until(lambda: has_lease(store))


def test_who_is_alone_waits_for_nobody(store, monkeypatch):
    assert put("old")
    monkeypatch.setattr("cache_invalidation.stores.redis.near._sleep_until", no_time)
    cache.clear()
    assert get() is None


def no_time(moment: float) -> None:
    raise AssertionError("it waits")
