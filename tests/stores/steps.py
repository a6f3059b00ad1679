"""The steps of readers and writers, one by one, so that tests can put others in between."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from cache_invalidation.exceptions import StoreRefused
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.messages import Delivery, Filling, Versions, is_fence

MISS: Final = "a miss"
PATIENCE: Final = 120.0  # seconds; only what hangs takes as long, however busy the machine is


@dataclass(frozen=True)
class Sample:
    """What a reader knows before it computes."""

    versions: Versions
    mark: str


def sample(store: Store, entry: str, *tags: str, timeout: float | None = 60) -> Sample:
    """Look, and mint what is missing, as a reader does before it computes."""
    found = store.lookup(store.entry_place(entry), sorted(tags))
    versions = dict(found.versions)
    missing = [tag for tag, version in versions.items() if version is None]
    if missing:
        versions.update(store.mint(missing, timeout))
    return Sample(versions, found.mark)


def keep(
    store: Store, entry: str, value: Any, before: Sample, *, timeout: float | None = 60
) -> bool:
    """Store what was computed after `before`; tell whether it was accepted."""
    payload = store.encode(value)
    return store.fill(
        Filling(
            entry=store.entry_place(entry),
            payload=payload,
            versions=before.versions,
            timeout=timeout,
            mark=before.mark,
        )
    )


def remember(store: Store, entry: str, value: Any, *tags: str, timeout: float | None = 60) -> None:
    """Store a value as a reader does that nobody disturbs."""
    assert keep(store, entry, value, sample(store, entry, *tags, timeout=timeout), timeout=timeout)


def recall(store: Store, entry: str, *tags: str) -> Any:
    """Return the value if the entry is valid, else `MISS`."""
    found = store.lookup(store.entry_place(entry), sorted(tags))
    if found.entry is None or not found.entry.is_valid(found.versions):
        return MISS
    return store.decode(found.entry.payload)


def drop(store: Store, *tags: str, token: str = "writer", entries: tuple[str, ...] = ()) -> None:
    """Deliver the invalidation of `tags` and `entries`."""
    places = [store.entry_place(entry) for entry in entries]
    store.deliver(Delivery(token=token, tags=tags, entries=places))


def briefly(settings: Any, name: str, step: Callable[[], object]) -> float:
    """Take a step with a setting of a few tenths of a second; return how many seconds.

    If they are over before the store has made sure of what it has set, there have to be more.
    """
    for seconds in (0.3, 1.0, 3.0, 10.0):
        settings.CACHE_INVALIDATION |= {name: seconds}
        with suppress(StoreRefused):
            step()
            return seconds
    raise AssertionError(f"It was refused with {name} = 10.")


def is_fenced(store: Store, tag: str) -> bool:
    return is_fence(store.versions([tag])[tag])


def wait_until(condition: Callable[[], object]) -> None:
    """Return as soon as `condition` holds; fail if it does not for a long time."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def alias_of(settings: Any, name: str, config: dict[str, Any]) -> str:
    """Add an alias to the settings and return its name."""
    settings.CACHES = settings.CACHES | {name: config}
    return name
