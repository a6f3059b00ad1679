"""Tracked keys whose values are kept near, as tests and races use them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings

from cache_invalidation import stores
from cache_invalidation.stores.redis.store import RedisStore

#: What is tracked, and what of that is kept near.
OPTIONS: dict[str, Any] = {
    "TRACK": ["product:*", "names", "race:*"],
    "NEAR": ["product:*", "race:*"],
    "BLIND": ["product:blind:*", "race:*"],
}


def caches_with(**options: Any) -> dict[str, Any]:
    """Return `CACHES` with such options of the cache of the app, which tracks keys."""
    there = settings.CACHES["default"]
    backend = "cache_invalidation.backends.RedisCache"
    default = {**there, "BACKEND": backend, "OPTIONS": {**there["OPTIONS"], **options}}
    return {**settings.CACHES, "default": default}


@contextmanager
def acting(store: RedisStore) -> Iterator[None]:
    """Do what is in the block as the process that has this store, as far as anybody can tell."""
    with pytest.MonkeyPatch.context() as patch:
        for alias in (None, "default"):
            patch.setitem(stores._stores, alias, store)
        yield
