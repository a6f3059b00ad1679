"""Computing what is asked for most and not there, before anybody has to wait for it.

The calls are those of `reads.hottest`. What is there is left alone, unless it is about to expire,
which is known of functions with ``refresh`` or ``sample``.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from threading import Event
from time import monotonic
from typing import Any, Final, Literal, get_args

from django.core.exceptions import ObjectDoesNotExist
from django.db import close_old_connections

from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.figures import figures_of, parsed
from cache_invalidation.reads.ahead import is_due
from cache_invalidation.reads.hottest import Call, hottest
from cache_invalidation.reads.kept_calls import read_back
from cache_invalidation.reads.protocol import judge, look_for_all, look_once
from cache_invalidation.reads.read import Read
from cache_invalidation.reads.recomputing import (
    NotTheSame,
    give_back,
    known,
    recompute,
    store_under,
    turn_for,
)
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import CALLS

logger = logging.getLogger("cache_invalidation")

Outcome = Literal["stored", "there", "taken", "refused", "elsewhere", "failed"]

_AT_ONCE: Final = 50  # entries that are looked for in one round trip

# Seconds that computing is taken to need where that was not measured.
_UNKNOWN: Final = 0.001

# Seconds after which a loop asks again which calls are the hottest.
_ASK_AGAIN: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What warming may take: `seconds` of each round, and no more than a `share` of a core."""

    seconds: float | None = None
    share: float = 1.0
    limit: int = CALLS


@dataclass(slots=True)
class _Known:
    """What this process knows of a call: how hot it is, and the read it leads to.

    One that `is_elsewhere` is left alone until it is asked again which calls there are.
    """

    call: Call
    heat: float
    read: Read | None = None
    is_elsewhere: bool = False


@dataclass(slots=True)
class Progress:
    """How far a round has come, of `total` calls, and what became of those that are done."""

    total: int
    outcomes: Counter[Outcome] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        return self.outcomes.total()

    def by_outcome(self) -> dict[str, int]:
        """Return how many calls had each of the outcomes that there can be."""
        return {outcome: self.outcomes[outcome] for outcome in get_args(Outcome)}


class Warmer:
    """Rounds over the hottest calls. It remembers them, also when the store has lost everything."""

    def __init__(self, budget: Budget, stopped: Event | None = None) -> None:
        self.budget = budget
        self._stopped = stopped or Event()
        self._calls: dict[bytes, _Known] = {}
        self._told: set[str] = set()
        self._ask_at = 0.0

    def round(self) -> Iterator[Progress]:
        """Compute what is missing, the hottest first; yield after each call.

        It ends early when the budget is used up, or it is stopped. Raises `StoreUnavailable`.
        """
        if monotonic() >= self._ask_at:
            self._ask()
        known = [each for each in self._calls.values() if not each.is_elsewhere]
        calls = sorted(known, key=lambda each: -each.heat)[: self.budget.limit]
        progress = Progress(len(calls))
        yield progress
        begun, spent = monotonic(), 0.0
        for place in range(0, len(calls), _AT_ONCE):
            some = calls[place : place + _AT_ONCE]
            there = self._there(some)
            spent += monotonic() - begun
            for each, is_there in zip(some, there, strict=True):
                begun = monotonic()
                progress.outcomes["there" if is_there else self._warm(each)] += 1
                seconds = monotonic() - begun
                spent += seconds
                yield progress
                if self._is_over(spent) or self._pause(seconds):
                    return
            begun = monotonic()

    def _is_over(self, spent: float) -> bool:
        return self.budget.seconds is not None and spent >= self.budget.seconds

    def _pause(self, seconds: float) -> bool:
        """Rest for as long as the share of a core demands; tell whether to stop."""
        return self._stopped.wait(seconds * (1 / self.budget.share - 1))

    def _ask(self) -> None:
        """Learn which calls are the hottest; those that the store does not name cool down."""
        hottest.send()
        for each in self._calls.values():
            each.heat /= 2
            each.is_elsewhere = False
        seconds = _seconds()
        for raw, hits in get_store().calls().items():
            try:
                each = self._calls.get(raw) or _Known(Call.decoded(raw), 0.0)
            except (ValueError, TypeError):
                continue  # Of another release, or another serializer.
            each.heat = max(each.heat, hits * seconds.get(each.call.name, _UNKNOWN))
            self._calls[raw] = each
        coldest = sorted(self._calls, key=lambda raw: self._calls[raw].heat)[:-CALLS]
        for raw in coldest:
            del self._calls[raw]
        self._ask_at = monotonic() + _ASK_AGAIN

    def _there(self, calls: list[_Known]) -> list[bool]:
        """Return which of the values are there and are not about to expire, in one round trip."""
        for each in calls:
            if each.read is None:
                each.read = self._read(each.call)
        # What was looked up stays in a read, and each look needs a new one.
        reads = [(each, copy(each.read)) for each in calls if each.read is not None]
        found = look_for_all([read for _, read in reads]) if reads else []
        for (_, read), answer in zip(reads, found, strict=True):
            judge(read, answer, computes=False)
        there = {id(each) for each, read in reads if read.is_hit and not is_due(read)}
        return [id(each) in there for each in calls]

    def _read(self, call: Call) -> Read | None:
        try:
            with call.locale.in_force():
                return _read_of(call)
        except CacheInvalidationError:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, it is found again when it is warmed
            return None

    def _warm(self, each: _Known) -> Outcome:
        name, each.read = each.call.name, None
        try:
            with each.call.locale.in_force():
                outcome = warm(each.call)
        except NotTheSame as error:
            logger.debug("%s() is not warmed: %s.", name, error)
            each.is_elsewhere = True
            return "elsewhere"
        except CacheInvalidationError:
            raise
        except Exception as error:
            if name not in self._told:
                self._told.add(name)
                logger.error("%s() could not be warmed.", name, exc_info=error)
            outcome = "failed"
            close_old_connections()  # One that is broken would fail all that follow.
        if outcome in ("stored", "failed"):
            counters.add(f"refreshed:{name}:{'warmed' if outcome == 'stored' else 'failed'}")
        return outcome


def warm(call: Call) -> Outcome:
    """Compute what `call` returns and store it, unless it is there or somebody else is at it.

    Raises `NotTheSame` if it is another value here, and what the function raises.
    """
    function, read = known(call.name), _read_of(call)
    look_once(read)
    token = ""
    if read.is_hit:
        if not is_due(read):
            return "there"
        store_under(read, dict(read.versions or {}))
    elif not read.storable:
        return "refused"
    if not (token := turn_for(read.entry, read.lifetime)):
        return "taken"
    # Read again, after the versions were sampled.
    arguments = read_back(call.arguments)
    again = function._read(*arguments)
    if (again.key, again.tags) != (read.key, read.tags):
        raise NotTheSame("its arguments do not come back as they were")
    is_stored = recompute(function, read, arguments)
    give_back(read.entry, token)  # What fails keeps it, and is not tried again at once.
    return "stored" if is_stored else "refused"


def _read_of(call: Call) -> Read:
    """Return the read that `call` leads to here; raise `NotTheSame` if it is for somebody else."""
    function = known(call.name)
    if not function.is_warmed:
        raise NotTheSame("it is for one person by now")
    if get_store().entry_place(call.key) != call.place:
        raise NotTheSame("who is served here is somebody else")
    try:
        args, kwargs = read_back(call.arguments)
    except (ObjectDoesNotExist, LookupError) as error:
        raise NotTheSame("what it was called with is gone") from error
    key = function.signature.key(function.signature.bind(args, kwargs))
    if key != call.key:
        raise NotTheSame("its arguments do not come back as they were")
    read: Read = function._read(args, kwargs)
    return read


def _seconds() -> Mapping[str, float]:
    """Return what computing takes, by the name of the function, where that was measured."""
    counters.flush()
    figures: Mapping[str, Any] = figures_of({}, {}, parsed(get_store().details()))
    return {
        name: found["seconds"] / found["computed"]
        for name, found in figures.items()
        if found["computed"]
    }


def warm_all(budget: Budget) -> dict[str, int]:
    """Do one round; return what became of how many calls.

    Raises `StoreUnavailable` if the cache does not answer.
    """
    *_, progress = Warmer(budget).round()
    return progress.by_outcome()
