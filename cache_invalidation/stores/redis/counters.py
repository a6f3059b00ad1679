"""The counters of a store in Redis: one hash for the totals, and one for each minute of a day.

One for what was learned, the tags of each name in a field, and one for what is counted in detail.
"""

import time
from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final

from redis.exceptions import RedisError

from cache_invalidation.stores.base import Store
from cache_invalidation.stores.guarding import guarded
from cache_invalidation.stores.messages import (
    CALLS,
    CALLS_FADE,
    MARK_SIZE,
    MARKS,
    MINUTES,
    NAMES_FOUND,
    NAMESPACE,
    NO_COUNTS,
    NO_NOTES,
    NOTE_SIZE,
    NOTES,
    NOTHING_LEARNED,
    RECENT,
    TAGS_FOUND,
    Learned,
    Mark,
    Notes,
)
from cache_invalidation.stores.redis.connection import Servers
from cache_invalidation.stores.redis.conversing import Command, unrefused
from cache_invalidation.stores.redis.scripts import ms, script

# The last three are what an answer of an unexpected shape leads to.
ERRORS: Final = (RedisError, OSError, ValueError, TypeError, AttributeError)


DETAILS: Final = 20_000  # counters


class RedisCounters(Store):
    """That part of a store. Their names share a hash tag, so they are on one node of a cluster."""

    _servers: Servers

    @abstractmethod
    def _answers(self, commands: Sequence[Command]) -> list[Any]: ...

    @guarded(*ERRORS)
    def count(
        self,
        counts: Mapping[str, int],
        recent: Sequence[str] = (),
        learned: Learned = NOTHING_LEARNED,
        details: Mapping[str, int] = NO_COUNTS,
        notes: Notes = NO_NOTES,
    ) -> None:
        commands: list[Command] = [self._counting(counts, recent=recent)]
        if learned:
            pairs = chain.from_iterable((name, "\n".join(tags)) for name, tags in learned.items())
            commands.append(script("learn", [self._learned], NAMES_FOUND, TAGS_FOUND, *pairs))
        if details:
            added = chain.from_iterable(details.items())
            commands.append(script("detail", [self._details], DETAILS, *added))
        if notes:
            written = chain.from_iterable(notes.items())
            commands.append(script("note", [self._notes], NOTE_SIZE, NOTES, *written))
        # A server without memory to spare may take the first and not the others: what it has
        # counted must not be counted again.
        unrefused(self._servers.ask_all(commands)[:1])

    @guarded(*ERRORS)
    def details(self) -> dict[str, int]:
        found = _pairs(self._servers.ask("HGETALL", self._details))
        return {spell(name): int(value) for name, value in found}

    @guarded(*ERRORS)
    def notes(self, places: Collection[int]) -> Notes:
        found = self._servers.ask(*script("noted", [self._notes], NOTE_SIZE, *places))
        return {
            place: bytes(note).ljust(NOTE_SIZE, b"\0")
            for place, note in zip(places, found, strict=True)
        }

    @guarded(*ERRORS)
    def mark_first(self, marks: Sequence[Mark]) -> list[bool]:
        # By hash tag, since all keys of a script have to be on one node of a cluster.
        by_tag: dict[str, list[int]] = {}
        for place, (name, *_) in enumerate(marks):
            by_tag.setdefault(name[:1], []).append(place)
        commands: list[Command] = []
        for places in by_tag.values():
            some = [marks[place] for place in places]
            about = chain.from_iterable((mark, ms(seconds)) for _, mark, seconds in some)
            keys = [self._marked(name) for name, *_ in some]
            commands.append(script("mark", keys, MARKS * MARK_SIZE, *about))
        answers = self._answers(commands) if commands else []
        first = dict(zip(chain(*by_tag.values()), chain(*answers), strict=True))
        return [first[place] == 1 for place in range(len(marks))]

    @guarded(*ERRORS)
    def learned(self) -> dict[str, frozenset[str]]:
        found = _pairs(self._servers.ask("HGETALL", self._learned))
        return {spell(name): frozenset(spell(tags).splitlines()) for name, tags in found}

    @guarded(*ERRORS)
    def count_calls(self, hits: Mapping[bytes, int]) -> None:
        pairs = chain.from_iterable(hits.items())
        self._servers.ask(*script("calls", [self._calls], CALLS, CALLS_FADE, *pairs))

    @guarded(*ERRORS)
    def calls(self) -> dict[bytes, int]:
        found = self._servers.ask(*script("called", [self._calls]))
        return {bytes(call): int(float(hits)) for call, hits in _pairs(found)}

    def _counting(
        self, counts: Mapping[str, int], last: str = "", recent: Sequence[str] = ()
    ) -> Command:
        names = self._totals, self._minute(int(time.time() // 60)), self._recent
        now = datetime.now(UTC).isoformat()
        pairs = chain.from_iterable(counts.items())
        lives = MINUTES * 60 + 60
        return script("count", names, lives, now, last, len(recent), RECENT, *recent, *pairs)

    @guarded(*ERRORS)
    def recent(self, number: int) -> list[str]:
        return list(map(spell, self._servers.ask("LRANGE", self._recent, 0, number - 1)))

    @guarded(*ERRORS)
    def counters(self) -> dict[str, str]:
        found = _pairs(self._servers.ask("HGETALL", self._totals))
        return {spell(name): spell(value) for name, value in found}

    @guarded(*ERRORS)
    def counters_per_minute(self, minutes: Sequence[int]) -> list[dict[str, int]]:
        commands = [("HGETALL", self._minute(minute)) for minute in minutes]
        return [
            {spell(name): int(value) for name, value in _pairs(found)}
            for found in self._answers(commands)
        ]

    @guarded(*ERRORS)
    def reset_counters(self) -> None:
        now = int(time.time() // 60)
        minutes = (self._minute(minute) for minute in range(now - MINUTES, now + 1))
        others = self._totals, self._learned, self._details, self._notes, self._calls
        since = "HSET", self._totals, "since", datetime.now(UTC).isoformat()
        self._answers([("UNLINK", *minutes, *others), since])

    def _marked(self, name: str) -> str:
        return self.shared(f"{NAMESPACE}h:{{h{name[:1]}}}:{name}")

    @property
    def _totals(self) -> str:
        return self.shared(f"{NAMESPACE}{{counters}}")

    @property
    def _recent(self) -> str:
        return self.shared(f"{NAMESPACE}{{counters}}:recent")

    @property
    def _learned(self) -> str:
        return self.shared(f"{NAMESPACE}{{counters}}:learned")

    @property
    def _details(self) -> str:
        return self.shared(f"{NAMESPACE}{{counters}}:details")

    @property
    def _calls(self) -> str:
        return self.shared(f"{NAMESPACE}{{counters}}:calls")

    @property
    def _notes(self) -> str:
        return self.shared(f"{NAMESPACE}{{counters}}:notes")

    def _minute(self, minute: int) -> str:
        return self.shared(f"{NAMESPACE}{{counters}}:{minute}")


def _pairs(answer: Any) -> Iterable[tuple[bytes, bytes]]:
    """Return the pairs of a hash, which newer versions of the wire protocol send as such."""
    return answer.items() if isinstance(answer, dict) else zip(*[iter(answer)] * 2, strict=True)


def spell(raw: bytes) -> str:
    """Return what the server has sent as text."""
    return raw.decode(errors="replace")
