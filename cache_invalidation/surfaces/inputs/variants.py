"""How many entries one shape may have: a page that reads a random header has one for each value."""

from threading import Lock
from time import monotonic
from typing import Final

from cache_invalidation.conf import settings

SHAPES: Final = 10_000  # of which a process remembers the variants
FOREVER: Final = 86_400.0  # seconds for which a variant without a timeout counts

_lock = Lock()
_variants: dict[str, dict[str, float]] = {}


def admits(shape: str, key: str, lifetime: float | None) -> bool:
    """Whether there is room for one more entry `key` of `shape`, for `lifetime` seconds.

    A process counts what it has stored itself, ``VARIANT_LIMIT`` at most.
    """
    now, limit = monotonic(), settings.VARIANT_LIMIT
    with _lock:
        if shape not in _variants and len(_variants) >= SHAPES:
            _variants.clear()
        found = _variants.setdefault(shape, {})
        if key not in found and len(found) >= limit:
            for old in [name for name, ends_at in found.items() if ends_at <= now]:
                del found[old]
            if len(found) >= limit:
                return False
        found[key] = now + (FOREVER if lifetime is None else lifetime)
        return True


def forget() -> None:
    """Count anew, as after the cache was emptied."""
    with _lock:
        _variants.clear()
