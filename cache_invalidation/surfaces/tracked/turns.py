"""Taking turns with whoever else changes the same value."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic, sleep
from typing import Final

from cache_invalidation.exceptions import CacheInvalidationError, StoreUnavailable
from cache_invalidation.reads.protocol import POLL_INTERVAL
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import new_token

PATIENCE: Final = 2.0  # seconds that one waits for another


@contextmanager
def alone(place: str) -> Iterator[None]:
    """Have one after the other do what is inside of the block to what is at `place`.

    Raises `StoreUnavailable` if it was not this one's turn for too long.
    """
    store, token, deadline = get_store(), new_token(), monotonic() + PATIENCE
    while not store.acquire(place, token, PATIENCE):
        if monotonic() > deadline:
            raise StoreUnavailable(f"{place!r} is being changed by somebody else")
        sleep(POLL_INTERVAL)
    try:
        yield
    finally:
        with suppress(CacheInvalidationError):  # It lapses by itself.
            store.release(place, token)
