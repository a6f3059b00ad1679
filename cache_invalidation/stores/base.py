"""The protocol: what a store of entries and versions has to do.

A *version* is a random token under a tag. An *entry* is a value together with the versions that
its tags had before it was computed, and valid only while they all are still the same. A *fence*
stands in the place of a version while a write is in flight: nothing matches it, and nobody stores
under it. A version that is missing matches nothing either, so losing one costs a miss.
"""

from abc import ABC, abstractmethod
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from hashlib import blake2b
from secrets import token_bytes
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from cache_invalidation.exceptions import PatternsNotSupported, StoreRefused, StoreUnavailable
from cache_invalidation.stores.breaker import Breaker, State
from cache_invalidation.stores.recovery import Recovery
from cache_invalidation.tags import ROOT

# Everything that this package keeps in the project's cache is below this prefix.
NAMESPACE: Final = "ci:"

# A version outlives the entries that use it by this many seconds.
VERSION_GRACE: Final = 10

# For so many seconds after an entry was invalidated by its own name, a computation that began
# before is kept from storing it again.
TOMBSTONE_TIMEOUT: Final = 3600

# So many of the last deliveries are listed.
RECENT: Final = 1000

Version = str | None
Versions = Mapping[str, Version]

S = TypeVar("S", bound="Store")
P = ParamSpec("P")
R = TypeVar("R")


def new_token() -> str:
    """Return 64 random bits: a version, or the name of a fence. Never handed out again."""
    return urlsafe_b64encode(token_bytes(8))[:11].decode()


def is_fence(version: Version) -> bool:
    """Whether what stands under a tag is a fence."""
    return version is not None and version[:1] == "!"


def seal(versions: Versions) -> bytes:
    """Return the digest of tags and versions that an entry carries; `versions` sorted by tag."""
    spelled = "\n".join([f"{tag} {version}" for tag, version in versions.items()])
    return blake2b(spelled.encode(), digest_size=12).digest()


@dataclass(frozen=True, slots=True)
class Entry:
    """What was found under the name of an entry.

    `further` are the tags it depends on besides those its reader asked for. `payload` is decoded
    by `Store.decode` once the entry has turned out to be valid.
    """

    seal: bytes
    further: tuple[str, ...]
    payload: Any

    def is_valid(self, versions: Versions) -> bool:
        """Whether the entry was computed under exactly these versions."""
        return self.seal == seal(versions)


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to one lookup, all of it as of one moment.

    `mark` is what has to be found unchanged for a fill to be accepted: the tombstone left by an
    invalidation of this very entry, or "". `entry_fenced`: such an invalidation is in flight.
    """

    entry: Entry | None
    versions: Versions
    mark: str = ""
    entry_fenced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a store is told once a write is committed; `token` is that of the fence, if any."""

    token: str
    tags: Sequence[str] = ()
    entries: Sequence[str] = ()
    keys: Sequence[str] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    last: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What the server behind a cache says of itself; nothing if it is down, or there is none.

    `problem` says in half a sentence why it cannot be used. `memory_limit` is in bytes, 0 for none.
    """

    problem: str | None = None
    eviction: str = ""
    memory_limit: int = 0
    is_replica: bool = False


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
    def fill(
        self,
        entry: str,
        payload: bytes,
        versions: Versions,
        further: Sequence[str],
        timeout: float | None,
        mark: str,
    ) -> bool:
        """Store `payload` for `timeout` seconds if `versions` and `mark` still hold; tell if so."""

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


def entry_name(key: str) -> str:
    return f"{NAMESPACE}e:{key}"


def version_name(tag: str) -> str:
    return f"{NAMESPACE}t:{tag}"


def lock_name(entry: str) -> str:
    return f"{NAMESPACE}l:{entry}"


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
