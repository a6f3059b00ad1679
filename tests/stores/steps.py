"""The steps of readers and writers, one by one, so that tests can put others in between."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cache_invalidation.stores.base import Store
from cache_invalidation.stores.messages import Delivery, Filling, Versions, is_fence

MISS: Final = "a miss"
PATIENCE: Final = 20.0  # seconds


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
