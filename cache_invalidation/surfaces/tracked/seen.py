"""The versions that this process has seen, and when: by a number that grows with each of them.

Versions are random and never put twice. So one that was seen before something began, and is there
when it ends, has been there all the time: nothing has been invalidated meanwhile that has this tag.
"""

from collections.abc import Iterable
from itertools import count
from threading import Lock
from typing import Final

from cache_invalidation.stores.messages import Version, Versions, is_fence

REMEMBERED: Final = 50_000  # tags
NEVER: Final = 0  # Nothing was seen before it.

_lock = Lock()
_numbers = count(1)
_seen: dict[str, tuple[Version, int]] = {}


def now() -> int:
    """Return a number that is greater than those of all versions seen until now."""
    return next(_numbers)


def remember(*found: Versions) -> None:
    """Take note of versions that the store has just returned."""
    for versions in found:
        for tag, version in versions.items():
            known = _seen.get(tag)
            if known is None or known[0] != version:
                _take_note(tag, version)


def _take_note(tag: str, version: Version) -> None:
    if version is None or is_fence(version):
        return
    with _lock:
        known = _seen.get(tag)
        if known is not None and known[0] == version:
            return  # Another thread was faster: it was seen when that has seen it.
        if len(_seen) >= REMEMBERED:
            _seen.clear()
        _seen[tag] = version, next(_numbers)


def before(number: int, tags: Iterable[str]) -> dict[str, Version]:
    """Return those versions of `tags` that were seen before `now` has returned `number`."""
    found = {tag: _seen[tag] for tag in tags if tag in _seen}
    return {tag: version for tag, (version, seen) in found.items() if seen < number}


def forget() -> None:
    """Have seen nothing."""
    with _lock:
        _seen.clear()
