"""The counters of a store in Redis: one hash for the totals, and one for each minute of a day.

And one for what was learned, the tags of each name in a field.
"""

import time
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final

from redis.exceptions import RedisError

from cache_invalidation.stores.base import Store, guarded
from cache_invalidation.stores.messages import (
    MINUTES,
    NAMES_FOUND,
    NAMESPACE,
    NOTHING_LEARNED,
    RECENT,
    TAGS_FOUND,
    Learned,
)
from cache_invalidation.stores.redis.connection import Command, Servers
from cache_invalidation.stores.redis.scripts import script

# The last three are what an answer of an unexpected shape leads to.
ERRORS: Final = (RedisError, OSError, ValueError, TypeError, AttributeError)


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
    ) -> None:
        counting = self._counting(counts, recent=recent)
        if not learned:
            self._servers.ask(*counting)
            return
        pairs = chain.from_iterable((name, "\n".join(tags)) for name, tags in learned.items())
        learning = script("learn", [self._learned], NAMES_FOUND, TAGS_FOUND, *pairs)
        self._answers([counting, learning])

    @guarded(*ERRORS)
    def learned(self) -> dict[str, frozenset[str]]:
        found = _pairs(self._servers.ask("HGETALL", self._learned))
        return {spell(name): frozenset(spell(tags).splitlines()) for name, tags in found}

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
        since = "HSET", self._totals, "since", datetime.now(UTC).isoformat()
        self._answers([("UNLINK", *minutes, self._totals, self._learned), since])

    @property
    def _totals(self) -> str:
        return self.shared(f"{NAMESPACE}{{counters}}")

    @property
    def _recent(self) -> str:
        return self.shared(f"{NAMESPACE}{{counters}}:recent")

    @property
    def _learned(self) -> str:
        return self.shared(f"{NAMESPACE}{{counters}}:learned")

    def _minute(self, minute: int) -> str:
        return self.shared(f"{NAMESPACE}{{counters}}:{minute}")


def _pairs(answer: Any) -> Iterable[tuple[bytes, bytes]]:
    """Return the pairs of a hash, which newer versions of the wire protocol send as such."""
    return answer.items() if isinstance(answer, dict) else zip(*[iter(answer)] * 2, strict=True)


def spell(raw: bytes) -> str:
    """Return what the server has sent as text."""
    return raw.decode(errors="replace")
