"""Why nothing was there: notes of when an entry was stored, and how long it was to stay.

An entry that is gone leaves nothing behind, and whoever misses it cannot tell why. So processes
note in the store what they have stored, along with their counts, and ask what is noted when they
count a miss: no reader and no writer waits for that. There is a fixed number of places for notes.
An entry has one by its digest, and takes it from any other that has the same: then nobody knows.
"""

import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from time import time
from typing import Final, Literal, NamedTuple
from zlib import crc32

from cache_invalidation.stores.messages import NO_NOTES, NOTE_SIZE, NOTES, Notes

Cause = Literal[
    "new",
    "expired",
    "evicted",
    "invalidated",
    "by_name",
    "not_stored",
    "unreadable",
    "unknown",
]

# Nothing was there, for which of these reasons?
_GONE: Final[tuple[Cause, ...]] = (
    "unknown",
    "new",
    "expired",
    "evicted",
    "by_name",
    "not_stored",
)

EVENTS: Final = 2000  # at most, until they have to be settled

SLACK: Final = 0.5  # seconds that clocks may differ

#: For how long something is kept that is not stored.
NOT_AT_ALL: Final = 0.0
_FOR_EVER: Final = float("inf")

# The digest of the entry, when it was stored and until when (seconds since the epoch), the mark
# that stood beside it, and why it had been missing.
_LAYOUT: Final = struct.Struct(">IddBB")
assert _LAYOUT.size == NOTE_SIZE  # noqa: S101


class Missed(NamedTuple):
    """Nothing was at `place`, for `name`, but for a `mark`, if that is not ""."""

    name: str
    place: str
    mark: str
    at: float


class Kept(NamedTuple):
    """A value is stored at `place` for `seconds`, None for ever, under `mark`; or it is not."""

    place: str
    seconds: float | None
    mark: str
    at: float


Event = Missed | Kept


def missed(name: str, place: str, mark: str) -> Missed:
    return Missed(name, place, mark, time())


def kept(place: str, seconds: float | None, mark: str) -> Kept:
    return Kept(place, seconds, mark, time())


class Place(NamedTuple):
    """Where a note stands, and the digest by which it is known that it is about this entry."""

    number: int
    digest: int


class _Note(NamedTuple):
    digest: int
    at: float
    until: float
    mark: int
    cause: int


def places_of(events: Iterable[Event]) -> dict[str, Place]:
    """Return where notes about the entries stand that `events` are about, by the entry."""
    found: dict[str, Place] = {}
    for event in events:
        if event.place not in found:
            found[event.place] = _place(event.place)
    return found


def settle(
    events: Iterable[Event], places: Mapping[str, Place], there: Notes
) -> tuple[Counter[tuple[str, Cause]], Notes]:
    """Return how often a name missed for which cause, and what is to be noted instead.

    `events` are in their order, `there` are the notes at their `places`.
    """
    notes = {place: _Note(*_LAYOUT.unpack(note)) for place, note in there.items()}
    causes: Counter[tuple[str, Cause]] = Counter()
    changed: dict[int, bytes] = {}
    missing: dict[int, int] = {}
    for event in events:
        place, digest = places[event.place]
        note = notes[place]
        if isinstance(event, Missed):
            cause = _cause(event, digest, note)
            missing[digest] = _GONE.index(cause)
            causes[event.name, cause] += 1
        elif note.digest != digest or _is_news(event, note):
            until = _until(event)
            cause_before = missing.pop(digest, 0)
            notes[place] = _Note(digest, event.at, until, _mark(event.mark), cause_before)
            changed[place] = _LAYOUT.pack(*notes[place])
    return causes, changed or NO_NOTES


def unsettled(events: Iterable[Event]) -> Counter[tuple[str, Cause]]:
    """Return what `settle` does where nobody can look into the notes."""
    return Counter((event.name, "unknown") for event in events if isinstance(event, Missed))


def _cause(event: Missed, digest: int, note: _Note) -> Cause:
    if note == _NONE:
        return "new"
    if note.digest != digest:
        return "unknown"
    if event.at < note.at:
        # Somebody else has filled it meanwhile, and has told sooner; it was missing for the same.
        return _GONE[note.cause]
    if note.until == NOT_AT_ALL:
        return "not_stored"
    if event.at >= note.until - SLACK:
        return "expired"
    # A mark that was not there when it was stored is what has dropped it.
    return "by_name" if event.mark and _mark(event.mark) != note.mark else "evicted"


def _is_news(event: Kept, note: _Note) -> bool:
    """Whether `event` came after what is noted; that nothing was stored takes nothing away."""
    if event.seconds == NOT_AT_ALL and note.until > event.at:
        return False
    return event.at >= note.at


def _until(event: Kept) -> float:
    if event.seconds == NOT_AT_ALL:
        return NOT_AT_ALL
    return _FOR_EVER if event.seconds is None else event.at + event.seconds


def _place(entry: str) -> Place:
    found = int.from_bytes(blake2b(entry.encode(errors="surrogatepass"), digest_size=8).digest())
    return Place(found % NOTES, (found >> 32) | 1)  # No note is all zeros.


def _mark(mark: str) -> int:
    return crc32(mark.encode()) % 255 + 1 if mark else 0


_NONE: Final = _Note(*_LAYOUT.unpack(bytes(NOTE_SIZE)))


def by_counter(causes: Mapping[tuple[str, Cause], int]) -> dict[str, int]:
    """Return the counters that `causes` are added to."""
    return {f"missed:{name}:{cause}": number for (name, cause), number in causes.items()}
