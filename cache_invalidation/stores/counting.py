"""The protocol of counters: what a store has to keep of what was counted, and found out."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence

from cache_invalidation.stores.messages import (
    NO_COUNTS,
    NO_NOTES,
    NOTHING_LEARNED,
    Learned,
    Mark,
    Notes,
)


class Counting(ABC):
    """That part of a store."""

    @abstractmethod
    def count(
        self,
        counts: Mapping[str, int],
        recent: Sequence[str] = (),
        learned: Learned = NOTHING_LEARNED,
        details: Mapping[str, int] = NO_COUNTS,
        notes: Notes = NO_NOTES,
    ) -> None:
        """Add to the counters, in total and for this minute, in one round trip.

        `recent` goes on top of the list of recent deliveries, the newest last. What was `learned`
        is on which tags something was found to depend, by its name; it is added to what is known.
        `details` are counters of which there are only totals, and a limited number. `notes` are of
        ``NOTE_SIZE`` bytes each, and take the place of those that are there.
        """

    @abstractmethod
    def details(self) -> dict[str, int]:
        """Return the counters that are kept as details.

        What was added to others when there was no room for them is under "".
        """

    @abstractmethod
    def notes(self, places: Collection[int]) -> Notes:
        """Return the notes at `places`, from 0 to below ``NOTES``; zeros where there was none.

        Where the cache is no Redis, of two who write at the same time one may do so in vain.
        """

    @abstractmethod
    def mark_first(self, marks: Sequence[Mark]) -> list[bool]:
        """Return which of `marks` were not there yet; put all there, the last ``MARKS`` of a name.

        Where the cache is no Redis, two who do so at the same time may both be the first.
        """

    @abstractmethod
    def learned(self) -> dict[str, frozenset[str]]:
        """Return what was learned, by name: of at most ``NAMES_FOUND``, ``TAGS_FOUND`` tags each.

        What comes when there is no room is left out.
        """

    @abstractmethod
    def count_calls(self, hits: Mapping[bytes, int]) -> None:
        """Add `hits` to those of calls, of which the ``CALLS`` with the most are kept.

        One that finds no room takes the place and the hits of the one with the fewest. Where the
        cache is no Redis, of two who add at the same time one may do so in vain.
        """

    @abstractmethod
    def calls(self) -> dict[bytes, int]:
        """Return what `count_calls` has kept, the most frequent first."""

    @abstractmethod
    def recent(self, number: int) -> list[str]:
        """Return the last deliveries that were listed, at most `number`, the newest first."""

    @abstractmethod
    def counters(self) -> dict[str, str]:
        """Return every counter, and `since` and `last`, as text."""

    @abstractmethod
    def counters_per_minute(self, minutes: Sequence[int]) -> list[dict[str, int]]:
        """Return the counters of each of `minutes`, counted from the epoch."""

    @abstractmethod
    def reset_counters(self) -> None:
        """Set every counter to zero, `since` to now, and forget what was learned and noted, and
        which calls are frequent.

        The list of deliveries stays.
        """
