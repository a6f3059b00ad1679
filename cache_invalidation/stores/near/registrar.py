"""What a store has to do for those who keep values near, and what it answers."""

from collections.abc import Mapping, Sequence, Set
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import NamedTuple, Protocol

from cache_invalidation.stores.messages import Filling, Found, OnWait


class Held(NamedTuple):
    """What was found, and the stamp under which it may be kept, 0 if it may not.

    `lives` is how many seconds it has left, None for ever.
    """

    found: Found
    stamp: int
    lives: float | None


class Item(NamedTuple):
    """An invalidation: what was looked up before the stamp, under one of the keys, has to go."""

    stamp: int
    keys: list[str]


class Renewal(NamedTuple):
    """The answer to who wants to renew a lease, and may if there are no `items`."""

    epoch: str
    is_granted: bool
    items: list[Item]


class Ring(Protocol):
    """Where a holder is told of invalidations at once."""

    def listen(self, seconds: float) -> tuple[int, Item] | None:
        """Wait so long for one; return it and the stamp of the one before that."""


class Registrar(Protocol):
    """What a store has to do for those who keep values near."""

    alias: str

    def hold(self, entry: str, tags: Sequence[str], holder: str) -> Held:
        """Do what `lookup` does; register `holder` for what is found."""

    def hold_all(self, wanted: Sequence[tuple[str, Sequence[str]]], holder: str) -> list[Held]:
        """Do what `hold` does for many pairs of an entry and its tags, in one round trip."""

    def fill_and_hold(self, filling: Filling, holder: str) -> int | None:
        """Do what `fill` does, and register `holder`; return its stamp, None if nothing was stored.

        It is 0 if nobody knows the holder.
        """

    def look_again(self, entry: str, seal: bytes, tags: Sequence[str]) -> Found | None:
        """Return the versions of `tags` and the mark, if the entry still is that with this seal."""

    def tell(self, entry: str, on_wait: OnWait | None) -> None:
        """Have all who keep what was found at this place look again, and wait for them."""

    def grants_leases(self) -> str:
        """Return why the server can grant none; "" if it can."""

    def evicts(self) -> str:
        """Return why the server may forget who holds what; "" if it may not."""

    def ring(self, holder: str) -> AbstractContextManager[Ring]: ...

    def renew(
        self,
        holder: str,
        confirmed: int,
        given_up: Mapping[str, int],
        dropped: Mapping[int, Set[str]] = MappingProxyType({}),
        *,
        joins: bool = False,
    ) -> Renewal | None:
        """Renew the lease, if everything is `confirmed`; None if nobody knows the holder.

        Writers are told the names of what was `dropped` by the stamp of their invalidation.
        """

    def settle(self, epoch: str) -> None:
        """Have the `epoch` be young no more: it was for a whole lease."""

    def tend(self) -> dict[str, str]:
        """Return how often each holder has renewed its lease; sweep up behind those who left."""

    def bury_silent(self, holder: str, beat: str) -> None:
        """Forget a holder who has not renewed for a whole lease, since that beat."""

    def leave(self, holder: str) -> None:
        """Forget a holder who keeps nothing any more."""
