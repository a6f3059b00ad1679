"""Who holds what near, as one server keeps it; see `docs/explanation/near.md`.

All names begin with `_near`. Nothing of it has a time to live, so that nothing is evicted or
expires by a clock that steps: what is there at all has to be waited for.
"""

import json
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from time import monotonic, sleep
from types import MappingProxyType
from typing import Any, Final

from redis.exceptions import ResponseError

from cache_invalidation.conf import settings
from cache_invalidation.exceptions import StoreRefused
from cache_invalidation.stores import near
from cache_invalidation.stores.guarding import guarded
from cache_invalidation.stores.messages import NAMESPACE, Filling, Found, OnWait, new_token
from cache_invalidation.stores.near.holding import Holding
from cache_invalidation.stores.near.registrar import Held, Renewal, Ring
from cache_invalidation.stores.near.waiting import (
    LONGEST,
    NOBODY,
    Told,
    lease_of,
    names_in,
    told_by,
)
from cache_invalidation.stores.redis.connection import MEMORY, Servers, text_of
from cache_invalidation.stores.redis.conversing import Command
from cache_invalidation.stores.redis.counters import ERRORS, RedisCounters
from cache_invalidation.stores.redis.ring import RedisRing, item_of
from cache_invalidation.stores.redis.scripts import script
from cache_invalidation.stores.redis.server import Server

SWEPT: Final = 1000  # names at a time
NAMES_TOLD: Final = 20  # of what an invalidation has dropped


class RedisNear(RedisCounters):
    """That part of a store."""

    _servers: Servers
    _lessor: Servers  # The same, for the thread that keeps the lease.

    finds_holders = True

    def __init__(self, alias: str) -> None:
        super().__init__(alias)
        # Not below the prefix of the cache: a pattern of `django-redis` deletes whatever is there,
        # and might take who holds something before the names of the holders.
        self._near = f"{NAMESPACE}n:{self.shared('')}" if self.finds_holders else ""
        self.near: Holding = Holding(self)
        # The outage in which a writer could not tell the holders, and since when.
        self._untold = (-1, 0.0)

    @abstractmethod
    def hold(self, entry: str, tags: Sequence[str], holder: str) -> Held: ...
    @abstractmethod
    def hold_all(self, wanted: Sequence[tuple[str, Sequence[str]]], holder: str) -> list[Held]: ...
    @abstractmethod
    def look_again(self, entry: str, seal: bytes, tags: Sequence[str]) -> Found | None: ...
    @abstractmethod
    def fill_and_hold(self, filling: Filling, holder: str) -> int | None: ...

    # What holders need

    @guarded(*ERRORS)
    def grants_leases(self) -> str:
        """See `Registrar.grants_leases`."""
        if not self.finds_holders:
            return "it is a cluster"
        if evicts := self.evicts():
            return evicts
        if not self._lessor.identity:
            return "it does not say who it is, since INFO is refused"
        try:
            with self.ring("") as ring:
                # Until it says that this may be done; there may be no time-out at all.
                ring.listen(min(self.longest_wait, 5.0))
        except StoreRefused as error:
            return f"it lets nobody listen to channels: {error}"
        return ""

    @guarded(*ERRORS)
    def evicts(self) -> str:
        """See `Registrar.evicts`."""
        server = Server()
        server.learn_memory(text_of([self._lessor.ask(*MEMORY)]))
        if server.eviction.startswith("allkeys"):
            return f"its maxmemory-policy is {server.eviction}, which may evict who holds what"
        return ""

    @contextmanager
    def ring(self, holder: str) -> Iterator[Ring]:
        """Listen to what this holder is told at once."""
        with self._lessor.subscription() as subscribed:
            self._subscribe(subscribed, f"{self._near}c:{holder}")
            yield RedisRing(subscribed)

    @guarded(*ERRORS)
    def _subscribe(self, subscription: Any, channel: str) -> None:
        subscription.subscribe(channel)

    @guarded(*ERRORS)
    def renew(
        self,
        holder: str,
        confirmed: int,
        given_up: Mapping[str, int],
        dropped: Mapping[int, Set[str]] = MappingProxyType({}),
        *,
        joins: bool = False,
    ) -> Renewal | None:
        """See `Registrar.renew`."""
        names = {n: json.dumps(sorted(each)[:NAMES_TOLD]) for n, each in dropped.items()}
        pairs = [part for each in (names, given_up) for pair in each.items() for part in pair]
        about = confirmed, self._lessor.identity, int(joins), len(names)
        answer = self._lessor.ask(*script("renew", [], self._near, holder, *about, *pairs))
        if not answer:
            return None
        epoch, granted, *items = answer
        return Renewal(epoch.decode(), bool(granted), [item_of(json.loads(item)) for item in items])

    @guarded(*ERRORS)
    def settle(self, epoch: str) -> None:
        """See `Registrar.settle`."""
        self._lessor.ask(*script("settle", [f"{self._near}e"], epoch))

    @guarded(*ERRORS)
    def tend(self) -> dict[str, str]:
        """See `Registrar.tend`."""
        found = self._lessor.ask(*script("tend", [], self._near, SWEPT))
        names = [name.decode() for name in found]
        return dict(zip(names[::2], names[1::2], strict=True))

    @guarded(*ERRORS)
    def bury_silent(self, holder: str, beat: str) -> None:
        """See `Registrar.bury_silent`."""
        self._lessor.ask(*script("bury", [], self._near, holder, 0, beat))

    @guarded(*ERRORS)
    def leave(self, holder: str) -> None:
        """See `Registrar.leave`."""
        self._lessor.ask(*script("leave", [], self._near, holder))

    @guarded(*ERRORS)
    def tell(self, entry: str, on_wait: OnWait | None) -> None:
        """See `Registrar.tell`."""
        token = new_token()
        answer = self._servers.ask(*script("again", [entry], token, *self._telling()))
        self._wait_for_told(token, answer, entry, on_wait)

    # What those need who change an entry by hand

    def _change(self, entry: str, on_wait: OnWait, *command: Any) -> Any:
        """Do to an entry what `command` says; return the answer, once all who keep it know."""
        token = new_token()
        change = script("change", [entry], token, *self._telling(), *command)
        answer, told = self._ask_surely(change)
        self._wait_for_told(token, told, entry, on_wait)
        return answer

    def _ask_surely(self, command: Command) -> Any:
        """Return the answer; answer nothing alone any more if nobody knows what was done."""
        try:
            return self._servers.ask(*command)
        except ResponseError:
            raise  # Nothing was.
        except BaseException:
            self._lose_lease()
            raise

    def _wait_for_told(self, token: str, answer: Any, entry: str, on_wait: OnWait | None) -> None:
        if told := self._told([answer], [entry]):
            self._wait(token, told, (), on_wait)

    @guarded(*ERRORS)
    def clear(self, on_wait: OnWait) -> None:
        """Remove all that is in the database of the cache, and wait until nobody has it near.

        Holders cannot be told: what would tell them goes as well.
        """
        own = self.near.memory.lease.holder
        command = script("clear", [], self._near, self._servers.identity, own)
        try:
            found, *others = self._ask_surely(command)
        finally:
            self._lose_lease()
        epoch = found.decode()
        if not epoch and not self._telling()[-1]:
            return  # Nobody has anything near.
        young = "" if epoch.startswith("+") else epoch or "?"
        told = Told({name.decode(): 0 for name in others}, young, monotonic())
        if told:
            _sleep_until(_ends(told))
            on_wait(monotonic() - told.at, 0, {})
        if epoch.startswith("-"):
            self._servers.ask(*script("settle", [f"{self._near}e"], epoch))

    # What writers need

    def _telling(self) -> tuple[str, str, int]:
        """Return what the script of a fence has to know to tell the holders."""
        if not self.finds_holders:
            return "", "", 0
        return self._near, self._servers.identity, int(near.is_in_use() and settings.NEAR_WAIT > 0)

    def _told(self, answers: Sequence[Any], keys: Collection[str]) -> Told:
        """Return whom the scripts of a fence of `keys` have told, but for this process.

        That has dropped what it had.
        """
        if not any(answers):
            return NOBODY
        near.take_into_use()
        told = told_by(list(answers))
        own = self.near.memory.lease.holder
        if own in told.holders:
            self.near.memory.drop(told.holders[own], keys)
            told = told.without({own})
        return told

    def _answered(self, token: str, told: Told) -> list[Command]:
        """Return the command that asks who of those told has answered already."""
        if not told.holders:
            return []
        # Nobody waits for this process, but its thread answers as well.
        return [("LPOP", f"{self._near}a:{token}", len(told.holders) + 1)]

    def _wait(
        self,
        token: str,
        told: Told,
        answered: Collection[bytes],
        on_wait: OnWait | None,
    ) -> None:
        """Wait until all have answered that they have dropped it, or their leases are over.

        Never raises: what it is about is committed, and delivered.
        """
        left, began = told.heard(answered), monotonic()
        if not left:
            return
        waited: dict[str, float] = {}
        try:
            while left.holders and (seconds := _ends(left._replace(epoch="")) - monotonic()) > 0:
                seconds = max(0.001, min(seconds, self.longest_wait / 2))
                key, number = f"{self._near}a:{token}", len(left.holders)
                found = self._servers.ask("BLMPOP", seconds, 1, key, "LEFT", "COUNT", number)
                answers = found[1] if found else ()
                left = left.heard(answers)
                waited.update(dict.fromkeys(names_in(answers), monotonic() - began))
            if left:
                _sleep_until(_ends(left))
                self._make_up(left)
        except ERRORS:
            _sleep_until(_ends(left))
        if on_wait is not None:
            on_wait(monotonic() - began, len(left.holders), waited)

    def _make_up(self, silent: Told) -> None:
        """Save others from waiting for those who are `silent`, and for what was waited out."""
        for holder, stamp in silent.holders.items():
            self._servers.ask(*script("bury", [], self._near, holder, stamp))
        if silent.epoch:
            self._servers.ask(*script("settle", [f"{self._near}e"], silent.epoch))

    def _lose_lease(self) -> None:
        """Trust nothing that is kept near: nobody knows what the server has done."""
        self.near.lose()

    def wait_for_leases(self, on_wait: OnWait) -> None:
        """See `Store.wait_for_leases`. Who could not be told has no new lease either."""
        self._lose_lease()
        if not (near.is_in_use() and settings.NEAR_WAIT and self.finds_holders):
            return
        outage = self.breaker.outages
        if self.breaker.is_working or self._untold[0] != outage:
            self._untold = (outage, monotonic())
        began, ends = monotonic(), self._untold[1] + max(LONGEST, settings.NEAR_WAIT)
        if began < ends:
            _sleep_until(ends)
            on_wait(monotonic() - began, 0, {})


def _ends(told: Told) -> float:
    """Return when the leases of those who were told are over, and of all others that there may be.

    By the monotonic clock.
    """
    leases = [lease_of(holder) for holder in told.holders]
    unknown = [LONGEST, settings.NEAR_WAIT] if told.epoch else []
    return told.at + max(leases + unknown, default=0.0)


def _sleep_until(moment: float) -> None:
    sleep(max(0.0, moment - monotonic()))
