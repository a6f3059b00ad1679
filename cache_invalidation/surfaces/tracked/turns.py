"""What depends on the value that is there, `add` and `incr`: in turns with whoever else does so."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic, sleep
from typing import Any, Final

from cache_invalidation.exceptions import CacheInvalidationError, StoreUnavailable
from cache_invalidation.metrics.counters import counters
from cache_invalidation.reads.protocol import POLL_INTERVAL
from cache_invalidation.reads.storing import store
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import new_token
from cache_invalidation.surfaces.tracked import stored
from cache_invalidation.surfaces.tracked.keys import MISSING, Key
from cache_invalidation.surfaces.tracked.units import current

PATIENCE: Final = 2.0  # seconds that one waits for another


def add(key: Key, value: Any, timeout: float | None, put: Callable[[str], bool]) -> bool:
    """Keep `value` under `key` if there is none; tell whether it is.

    If the key was asked for and something was read, that is what the value is made from. Otherwise
    it is a lock, say, and `put` has to keep it as it is at the place it is given.
    """
    journal = current()
    asked = journal.asked(key.entry)
    try:
        before = asked.events if asked is not None and key.is_blind(journal, asked) else 0
        if asked is not None and journal.events > before:
            with _alone(key.place()):
                return not key.exists() and (timeout == 0 or key.set(value, timeout))
        if key.exists():
            return False
        place = key.place()
        if (entry := get_store().lookup(place, ()).entry) is not None:
            get_store().discard(place, entry.seal)  # It is not valid any more.
        is_kept = put(place)
    except CacheInvalidationError:
        return False
    if is_kept:
        counters.add(f"stored:{key.name}:blind")
    return is_kept


def incr(
    key: Key, delta: int, put: Callable[[str], int], left: Callable[[str], float | None]
) -> int:
    """Add to the value of `key`: as `put` does it at its place, unless it was set.

    Then it depends on what it did, and lives for the seconds that are `left`. Raises `ValueError`
    if there is none.
    """
    with suppress(CacheInvalidationError), _alone(key.place()):
        read = key.look(current())
        value = key.value_of(read)
        if value is not MISSING and not read.is_hit:
            return put(key.place())
        if value is not MISSING and read.versions is not None:
            read.timeout = left(key.place())
            payload = stored.encode(value + delta, get_store())
            if store(read, payload, read.versions) is None:
                return int(value + delta)
    raise ValueError(f"Key {key.key!r} not found")


@contextmanager
def _alone(place: str) -> Iterator[None]:
    """Have one after the other do what is inside of the block to what is at `place`.

    Raises `StoreUnavailable` if it was not this one's turn for too long.
    """
    kept, token, deadline = get_store(), new_token(), monotonic() + PATIENCE
    while not kept.acquire(place, token, PATIENCE):
        if monotonic() > deadline:
            raise StoreUnavailable(f"{place!r} is being changed by somebody else")
        sleep(POLL_INTERVAL)
    try:
        yield
    finally:
        with suppress(CacheInvalidationError):  # It lapses by itself.
            kept.release(place, token)
