"""What is measured about reads: why a value was missing, what it took, what was stored.

A hit only finds out whether it may be the first of an entry for which that is to be counted.
"""

from dataclasses import dataclass
from hashlib import blake2b
from random import random, randrange
from time import perf_counter
from typing import Any, Final, Literal

from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.labels import labels
from cache_invalidation.metrics.latency import bucket
from cache_invalidation.metrics.notes import NOT_AT_ALL, Kept, kept, missed
from cache_invalidation.metrics.waiting import Detail
from cache_invalidation.reads.kept_calls import unwrap
from cache_invalidation.stores.messages import Filling, Found, Versions

#: Of one fill of so many it is counted whether it is ever hit.
SAMPLED: Final = 8

# Among what has dropped a value: something of which nothing is known.
UNKNOWN: Final = "?"


@dataclass(frozen=True, slots=True)
class Absence:
    """What was found at `place` where there was no value.

    Unless it is ``"gone"``, an entry was there, with a payload of this `digest` if it is known, and
    `dropped` by these kinds of tags, `changed` being the tags of which that is known. `since` is by
    `perf_counter`.
    """

    place: str
    cause: Literal["gone", "invalidated", "unreadable"]
    since: float
    dropped: frozenset[str] = frozenset()
    changed: tuple[str, ...] = ()
    digest: bytes | None = None


def absence(place: str, found: Found, versions: Versions, *, is_whole: bool) -> Absence:
    """Return why what was `found`, with these `versions` now, is no value.

    `is_whole` tells whether all of the payload is there.
    """
    entry = found.entry
    if entry is None:
        return Absence(place, "gone", perf_counter())
    if entry.is_valid(versions):
        return Absence(place, "unreadable", perf_counter())
    changed = tuple(entry.changed(versions))
    dropped = labels(changed) or frozenset({UNKNOWN})
    digest = _digest(unwrap(entry.payload)) if is_whole else None
    return Absence(place, "invalidated", perf_counter(), dropped, changed, digest)


def count_miss(name: str, found: Absence | None, mark: str) -> None:
    """Count why something was missed, as far as `found` says. The `mark` was beside it."""
    if found is not None and found.cause == "gone":
        counters.note(missed(name, found.place, mark))
        return
    if found is not None and found.dropped:
        counters.detail({("dropped", name, tag): 1 for tag in found.dropped})
    counters.update({f"missed:{name}:{'unknown' if found is None else found.cause}": 1})


def new_nonce() -> int:
    """Return what a filling gets to have its first hit counted; 0 for most.

    Who hits it tells `counters` so.
    """
    return randrange(1, 256) if random() * SAMPLED < 1 else 0  # noqa: S311 - nobody is to guess it


def count_computing(name: str, seconds: float) -> None:
    """Count that a value was computed, stored or not."""
    took = ("took", name, bucket(seconds))
    counters.detail({took: 1, ("microseconds", name): round(seconds * 1_000_000)})


def begun(filling: Filling) -> Kept:
    """Return the note for what is about to be stored, by the clock of now."""
    return kept(filling.entry, filling.timeout, filling.mark)


def count_filling(
    name: str, filling: Filling, payload: bytes, note: Kept, before: Absence | None
) -> None:
    """Count that `filling` was stored, with this `payload`; and whether that was there `before`.

    Serializers may spell the same value in several ways, so there may have been more of them.
    """
    amounts: dict[Detail, int] = {("fills", name): 1, ("bytes", name): len(filling.payload)}
    if filling.nonce:
        amounts["sampled", name] = 1
    if before is not None and before.digest is not None and before.place == filling.entry:
        amounts["compared", name] = 1
        if before.digest == _digest(payload):
            amounts["equal", name] = 1
            amounts |= {("equal_after", name, tag): 1 for tag in before.dropped}
    counters.detail(amounts)
    counters.note(note)


def count_not_stored(place: str) -> None:
    """Take note that what was computed for `place` was not stored there."""
    if place:
        counters.note(kept(place, NOT_AT_ALL, ""))


def _digest(payload: Any) -> bytes | None:
    return blake2b(payload, digest_size=8).digest() if isinstance(payload, bytes) else None
