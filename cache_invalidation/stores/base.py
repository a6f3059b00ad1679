"""The protocol: what a store of entries and versions has to do, whatever cache it is."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from cache_invalidation.exceptions import PatternsNotSupported, StoreRefused, StoreUnavailable
from cache_invalidation.stores.breaker import Breaker, State
from cache_invalidation.stores.messages import (
    Condition,
    Delivery,
    Filling,
    Found,
    Versions,
    new_token,
)
from cache_invalidation.stores.recovery import Recovery
from cache_invalidation.tags import ROOT

S = TypeVar("S", bound="Store")
P = ParamSpec("P")
R = TypeVar("R")


class Store(ABC):
    """A shared place for entries, versions, fences and counters.

    Every public method raises `StoreUnavailable` and nothing else when the store fails.
    """

    # Does a fence hold until the last of several writers on one tag is done or timed out?
    counts_fences = False

    # Can keys be deleted by pattern?
    supports_patterns = False

    # Does using it run queries on a connection that may be in a transaction?
    uses_database = False

    # Can a tag be stored under another name in the next request, as with a KEY_FUNCTION that looks
    # at the tenant? Then nobody else knows under which names to deliver what waits in the outbox.
    names_vary = False

    # Errors which show that the store is there, and refuses one command.
    refusals: tuple[type[Exception], ...] = ()

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.breaker = Breaker(alias)
        self.recovery = Recovery(self)

    def close(self) -> None:
        """Close what this process holds open, and give up waiting for a server that is down."""
        self.recovery.stop()

    def after_fork(self) -> None:
        """Go on in the child of a fork, where no other thread is left to give back a lock."""
        self.breaker.after_fork()

    def distrust(self, error: BaseException, *, lost: bool = False) -> None:
        """Trust nothing that is stored until what could not be delivered has been.

        If it is `lost`, until everything has been made invalid.
        """
        if lost:
            self.breaker.lost(error)
        elif self.breaker.state is not State.OPEN:
            self.breaker.failed(error)
        self.recovery.begin()

    def condition(self) -> Condition:
        """Ask the server, if there is one, what a project should know; takes about a second."""
        return Condition()

    @property
    def longest_wait(self) -> float:
        """Seconds that a call waits for an answer at most; 0 if that is not known."""
        return 0.0

    # What readers need

    @abstractmethod
    def lookup(self, entry: str, tags: Sequence[str], *, with_further: bool = False) -> Found:
        """Return the entry and the versions of `tags` (expanded), in one round trip.

        Asked `with_further`, a store that can returns those of the entry's further tags as well.
        """

    @abstractmethod
    def versions(self, tags: Sequence[str]) -> Versions:
        """Return what stands under each of `tags`, in one round trip."""

    @abstractmethod
    def mint(self, tags: Sequence[str], timeout: float | None) -> Versions:
        """Put a new version under each of `tags` that has none; return what stands there now.

        A new version lasts as long as an entry that is stored for `timeout` seconds needs it.
        """

    @abstractmethod
    def encode(self, value: Any) -> bytes:
        """Return `value` as `fill` takes it, in the way of the alias.

        Raises whatever the serializer of the cache raises for a value it cannot take.
        """

    @abstractmethod
    def fill(self, filling: Filling) -> bool:
        """Store an entry if its versions and its mark still hold; return whether they did."""

    @abstractmethod
    def decode(self, payload: Any) -> Any:
        """Return the value that `encode` was given; raise `ValueError` if it is unreadable."""

    @abstractmethod
    def acquire(self, entry: str, token: str, timeout: float) -> bool:
        """Try to become the one who computes `entry`, for at most `timeout` seconds."""

    @abstractmethod
    def release(self, entry: str, token: str) -> None:
        """Let others compute `entry`, if it is `token` that was to compute it."""

    # What recovery needs

    def ping(self) -> None:
        """Ask every server of the cache for something."""
        self.versions((ROOT,))

    def drop_everything(self) -> None:
        """Make everything invalid that is stored, or, if names vary, that this process has used."""
        self.deliver(Delivery(token=new_token(), tags=[ROOT]))

    def roots(self) -> list[str]:
        """Return under which names all that concerns this request can be dropped, if names vary."""
        return []

    def drop_roots(self, roots: Sequence[str]) -> None:  # noqa: B027 - most stores have none
        """Make everything invalid that depends on what `roots` returned."""

    # What writers need

    @abstractmethod
    def fence(self, tags: Sequence[str], entries: Sequence[str], token: str) -> None:
        """Replace the versions of `tags`, and `entries`, by the fence `token`, in one round trip.

        It lapses after ``FENCE_TIMEOUT`` and, for the sake of replicas, ``REPLICA_LAG``; fences of
        others on the same tags stand beside it.
        """

    @abstractmethod
    def deliver(self, delivery: Delivery) -> bool:
        """Drop versions, entries and keys, lift the fence and count, in one round trip.

        Return whether it could be counted, too.

        A tag that somebody else has fenced stays fenced. Under ``REPLICA_LAG`` the fence stays for
        that long.
        """

    @abstractmethod
    def delete_patterns(self, patterns: Iterable[str]) -> int:
        """Delete the keys of this alias that match; return how many there were.

        Keys written meanwhile may survive. Raises `PatternsNotSupported` where keys cannot be
        listed.
        """

    # What checks need

    def entries(self, prefix: str = "") -> Iterator[str]:
        """Iterate over the names that begin with `prefix` and may be those of entries.

        One may come twice, and those that are stored meanwhile may be missing. Raises
        `PatternsNotSupported` where keys cannot be listed.
        """
        raise PatternsNotSupported(f"The cache {self.alias!r} cannot list its keys.")

    # Counters

    @abstractmethod
    def count(self, counts: Mapping[str, int], recent: Sequence[str] = ()) -> None:
        """Add to the counters, in total and for this minute, in one round trip.

        `recent` goes on top of the list of recent deliveries, the newest last.
        """

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
        """Set every counter to zero, and `since` to now. The list of deliveries stays."""


def guarded(
    *errors: type[BaseException], urgent: bool = False
) -> Callable[[Callable[Concatenate[S, P], R]], Callable[Concatenate[S, P], R]]:
    """Make a method of a store raise `StoreUnavailable` for `errors`, and ask the breaker first.

    For what is a refusal, that is `StoreRefused`.

    What is `urgent` goes on as soon as a store that was down answers again.
    """

    def decorate(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
        @wraps(method)
        def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
            breaker = self.breaker
            if breaker.is_open and not breaker.admits(urgent=urgent):
                self.recovery.begin()
                raise StoreUnavailable(breaker.reason)
            outages = breaker.outages
            try:
                return method(self, *args, **kwargs)
            except StoreUnavailable:
                raise
            except errors as error:
                text = f"{type(error).__name__}: {error}"
                if isinstance(error, self.refusals):
                    breaker.refused(error)
                    raise StoreRefused(text) from error
                breaker.failed(error, outages)
                self.recovery.begin()
                raise StoreUnavailable(text) from error

        return call

    return decorate
