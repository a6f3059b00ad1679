"""Waiting for a lease, by whoever is measured with values near."""

from time import sleep
from typing import Any

from cache_invalidation.stores import get_store


def await_lease() -> None:
    """Wait until this process may answer alone."""
    store: Any = get_store()
    while not store.near.holder():
        sleep(0.01)
