"""What the tracked keys of one pattern are called, among the names of functions."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import tracked_key
from cache_invalidation.stores.tracking import Tracking, prefix_tags
from cache_invalidation.tags import expand, function_tag

_PREFIX: Final = "cache:"


def name_of(glob: str) -> str:
    """Return the name for all keys that are tracked by `glob`, in metrics and tags."""
    return f"{_PREFIX}{glob}"


@lru_cache(maxsize=10_000)
def tags_of(key: str, glob: str) -> tuple[str, ...]:
    """Return the tags that the entry of `key` has, whatever its value depends on."""
    # With the one by which operators drop all that is tracked by one pattern.
    return expand((*prefix_tags(key), function_tag(name_of(glob))))


def names() -> frozenset[str]:
    """Return the names of all that is tracked, whether anything is kept under it or not."""
    tracking = _tracking()
    return frozenset() if tracking is None else frozenset(map(name_of, tracking.globs))


def names_for(keys: Iterable[str], patterns: Iterable[str]) -> frozenset[str]:
    """Return the names of what may be tracked among `keys`, and what matches `patterns`."""
    tracking = _tracking()
    if tracking is None:
        return frozenset()
    globs = {glob for key in keys if (glob := tracking.glob_of(key)) is not None}
    globs.update(glob for pattern in patterns for glob in tracking.globs_of(pattern))
    return frozenset(map(name_of, globs))


def glob_in(entry: str) -> str | None:
    """Return what tracks the key in the name of an entry; None if nothing does."""
    tracking, found = _tracking(), tracked_key(entry)
    return None if tracking is None or found is None else tracking.glob_of(found[0])


def _tracking() -> Tracking | None:
    try:
        return get_store().tracking
    except StoreUnavailable:
        return None  # That there is no such cache, others say.
