"""What was counted and waits to be added to the counters in the store."""

import json
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from cache_invalidation.exceptions import StoreRefused
from cache_invalidation.metrics.notes import EVENTS, Event, by_counter, places_of, settle, unsettled
from cache_invalidation.metrics.requests import route_of
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.messages import MARK_SIZE, NO_NOTES, RECENT, Notes

# A counter of which there are only totals: its kind, what it is about, and more if need be.
Detail = tuple[str, ...]

# What a delivery has dropped, and for which entity type, cause and path.
Write = tuple[frozenset[str], str | None, str | None, str | None]

# The place of an entry that was hit, and its seal.
Hit = tuple[str, bytes]

SEPARATOR: Final = "\t"

# Seconds for which it is known at most that an entry was hit. If it is not hit for as long, its
# next hit counts as its first.
HIT_KNOWN: Final = 86_400.0


@dataclass(slots=True)
class Waiting:
    """All of it, of one process."""

    # Each hit adds to it, which takes a Counter four times as long.
    counts: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    recent: deque[Mapping[str, Any]] = field(default_factory=lambda: deque(maxlen=RECENT))
    learned: dict[str, set[str]] = field(default_factory=dict)
    details: Counter[Detail] = field(default_factory=Counter)
    writes: Counter[Write] = field(default_factory=Counter)
    # What was stored and what was missed, and what is to be noted of it once that is settled.
    events: list[Event] = field(default_factory=list)
    notes: Notes = field(default_factory=dict)
    # Of entries whose first hit counts, with name, nonce and lifetime.
    hits: dict[Hit, tuple[str, bytes, float | None]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(
            self.counts
            or self.recent
            or self.learned
            or self.details
            or self.writes
            or self.events
            or self.notes
            or self.hits
        )

    def count(self, counts: Mapping[str, int]) -> None:
        """Add `counts` to what is there."""
        for name, number in counts.items():
            self.counts[name] += number

    def settle(self, store: Store) -> None:
        """Find out for which causes something was missed, and which hits were the first.

        Raises `CacheInvalidationError` if the store fails; then it can be done again.
        """
        if self.events:
            self._settle_events(store)
        if self.hits:
            self._settle_hits(store)
        for (dropped, *about), number in self.writes.items():
            entity_type, cause, path = about
            what = (entity_type or "", cause or "", route_of(path))
            self.details.update({("write", tag, *what): number for tag in dropped})
        self.writes = Counter()

    def _settle_events(self, store: Store) -> None:
        places = places_of(self.events)
        try:
            there = store.notes({place.number for place in places.values()})
        except StoreRefused:  # It does not let this user look, say, and will not later.
            causes, notes = unsettled(self.events), NO_NOTES
        else:
            causes, notes = settle(self.events, places, {**there, **self.notes})
        self.notes = {**self.notes, **notes}
        self.count(by_counter(causes))
        self.events = []

    def _settle_hits(self, store: Store) -> None:
        marks = [
            (_digest(place.encode(errors="surrogatepass")).hex(), _digest(seal + nonce), seconds)
            for (place, seal), (_, nonce, lifetime) in self.hits.items()
            for seconds in (min(HIT_KNOWN, lifetime or HIT_KNOWN),)
        ]
        with suppress(StoreRefused):
            first = store.mark_first(marks)
            for (name, *_), is_first in zip(self.hits.values(), first, strict=True):
                self.details["first_hits", name] += is_first
        self.hits = {}

    def send(self, store: Store) -> None:
        """Add what is settled to what is in the store.

        Raises `CacheInvalidationError` if the store fails.
        """
        store.count(
            self.counts,
            [json.dumps(entry) for entry in self.recent],
            self.learned,
            {SEPARATOR.join(name): number for name, number in self.details.items() if number},
            self.notes,
        )

    def extend(self, later: "Waiting") -> None:
        """Wait for what was counted `later` as well."""
        self.count(later.counts)
        self.details.update(later.details)
        self.writes.update(later.writes)
        self.recent.extend(later.recent)
        for name, tags in later.learned.items():
            self.learned.setdefault(name, set()).update(tags)
        self.events = (self.events + later.events)[-EVENTS:]
        self.hits |= later.hits


def _digest(about: bytes) -> bytes:
    return blake2b(about, digest_size=MARK_SIZE).digest()
