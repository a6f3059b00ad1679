"""The protocol: what a store of entries and versions has to do, whatever cache it is."""

import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, time
from decimal import Decimal
from functools import cached_property
from typing import Any
from uuid import UUID

from django.core.cache import caches
from django.utils.safestring import SafeString

from cache_invalidation.exceptions import PatternsNotSupported, StoreRefused
from cache_invalidation.stores.breaker import Breaker, State
from cache_invalidation.stores.counting import Counting
from cache_invalidation.stores.messages import (
    NAMESPACE,
    Condition,
    Delivery,
    Filling,
    Found,
    OnWait,
    Versions,
    entry_name,
    lock_name,
    mark_name,
    new_token,
    version_name,
)
from cache_invalidation.stores.near.holding import Holding
from cache_invalidation.stores.near.waiting import Told
from cache_invalidation.stores.recovery import Recovery
from cache_invalidation.stores.tracking import Tracking, tracking_of
from cache_invalidation.tags import ROOT

_ENTRY = re.compile(rf"(?:^|\W){NAMESPACE}(?:e:|~)")  # One with a long name has a digest.


class Store(Counting):
    """A shared place for entries, versions, fences and counters.

    Every public method raises `StoreUnavailable` and nothing else when the store fails.
    """

    # Does a fence hold until the last of several writers on one tag is done or timed out?
    counts_fences = False

    # May what is stored rest on versions that a writer drops together with others? All of them are
    # dropped in one step, or fenced before any of the fences is lifted.
    takes_conditions = False

    # Does `lookup_many` take one round trip?
    looks_at_many = False

    # Can keys be deleted by pattern?
    supports_patterns = False

    # Does using it run queries on a connection that may be in a transaction?
    uses_database = False

    # Is everything at one place, whoever is served?
    places_plainly = False

    # Can a writer find those who keep near what it changes?
    finds_holders = False

    # What this process keeps of it in its own memory, and may answer from alone; None for nothing.
    near: Holding | None = None

    # Errors which show that the store is there, and refuses one command.
    refusals: tuple[type[Exception], ...] = ()

    def __init__(self, alias: str) -> None:
        self.alias = alias
        options = caches.settings[alias]
        self.version = options.get("VERSION", 1)
        self._prefix = f"{options.get('KEY_PREFIX', '')}:{self.version}:"
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
        elif self.breaker.state is not State.DOWN:
            self.breaker.failed(error)
        self.recovery.begin()

    def condition(self) -> Condition:
        """Ask the server, if there is one, what a project should know; takes about a second."""
        return Condition()

    @cached_property
    def tracking(self) -> Tracking | None:
        """What of the project's own keys is tracked."""
        return tracking_of(self.alias)

    @property
    def longest_wait(self) -> float:
        """Seconds that a call waits for an answer at most; 0 if that is not known."""
        return 0.0

    @property
    def longest_ask(self) -> float:
        """Seconds that `ping` takes at most; 0 if that is not known."""
        return self.longest_wait

    def admits(self, *, urgent: bool) -> bool:
        """Whether this caller may use the store now; see `Breaker.admits`."""
        return self.breaker.admits(urgent=urgent) or (urgent and self.recovery.is_late)

    # Names. What belongs to the project, entries among it, is where its KEY_FUNCTION says, which
    # may look at who is served now, such as a tenant. What is read and written for all of them,
    # such as versions, must be found by all of them: it has names that hinge on nothing.

    def shared(self, name: str) -> str:
        """Return the key of what is the same for everybody who uses the alias."""
        return self._prefix + name

    @abstractmethod
    def place(self, name: str) -> str:
        """Return where the cache keeps `name` for who is served now.

        Raises `StoreRefused` if the project's KEY_FUNCTION fails.
        """

    def version_key(self, tag: str) -> str:
        """Return the key under which the version of `tag` is."""
        return self.shared(version_name(tag))

    def _mark_key(self, entry: str) -> str:
        return self.shared(mark_name(entry))

    def _lock_key(self, entry: str) -> str:
        return self.shared(lock_name(entry))

    def entry_place(self, key: str) -> str:
        """Return where the entry with the name `key` is, for who is served now."""
        return self.place(entry_name(key))

    def pattern_place(self, pattern: str) -> str:
        """Return the pattern that keys have which match `pattern`, for who is served now."""
        return pattern

    def _placed(self, make: Callable[[str], Any], name: str) -> str:
        try:
            return str(make(name))
        except Exception as error:
            # It is the project's own, and says nothing about the server.
            raise StoreRefused(f"the KEY_FUNCTION failed: {error!r}") from error

    def _is_own(self, key: str) -> bool:
        """Whether what is under `key` is this package's, and none of a pattern's business."""
        # Where entries are is for a KEY_FUNCTION to say, and perhaps not for this tenant.
        return key.startswith(self._prefix + NAMESPACE) or bool(_ENTRY.search(key))

    # What readers need

    @abstractmethod
    def lookup(
        self, entry: str, tags: Sequence[str], *, with_further: bool = False, head: int = 0
    ) -> Found:
        """Return the entry at that place and the versions of `tags` (expanded), in one round trip.

        Asked `with_further`, a store that can returns those of the entry's further tags as well;
        asked for the `head`, that may be all of them, with so many bytes of the payload.
        """

    def lookup_many(self, wanted: Sequence[tuple[str, Sequence[str]]]) -> list[Found]:
        """Return what `lookup` does for each entry with its tags; in Redis in one round trip."""
        return [self.lookup(entry, tags) for entry, tags in wanted]

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

    @cached_property
    def keeps_safe_text(self) -> bool:
        """Whether text that is marked safe comes back as such."""
        return type(self.decode(self.encode(SafeString("")))) is SafeString

    @cached_property
    def keeps_types(self) -> bool:
        """Whether rows of a database come back with values of the same types."""
        rows = [(Decimal("1.0"), datetime(2000, 1, 1, tzinfo=UTC), time(1), UUID(int=1), b"")]
        try:
            return bool(self.decode(self.encode(rows)) == rows)
        except Exception:  # noqa: BLE001 - serializers raise what they like
            return False

    @abstractmethod
    def fill(self, filling: Filling) -> bool:
        """Store an entry if its versions and its mark still hold; return whether they did."""

    @abstractmethod
    def discard(self, entry: str, seal: bytes) -> None:
        """Delete what is at that place if it still is the entry with this `seal`."""

    def remove(self, entry: str, on_wait: OnWait) -> None:
        """Delete what is at that place, whatever it is, and have nobody find it any more."""
        self.deliver(Delivery(token=new_token(), keys=[entry], on_wait=on_wait))

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

    def drop_everything(self, on_wait: OnWait | None = None) -> None:
        """Make everything invalid that is stored.

        Without `on_wait`, that is on behalf of nobody's write.
        """
        self.deliver(Delivery(token=new_token(), tags=[ROOT], on_wait=on_wait))

    # What writers need

    @abstractmethod
    def fence(self, tags: Sequence[str], entries: Sequence[str], token: str) -> Told:
        """Replace the versions of `tags`, and `entries`, by the fence `token`, in one round trip.

        Return whom that has told, of those who hold them near: `deliver` waits for them.

        Entries are named by their places, here and in a `Delivery`.
        It lapses after ``FENCE_TIMEOUT`` and, for the sake of replicas, ``REPLICA_LAG``; fences of
        others on the same tags stand beside it.
        """

    @abstractmethod
    def deliver(self, delivery: Delivery) -> bool:
        """Drop versions, entries and keys, lift the fence and count, in one round trip.

        Return whether it could be counted, too, once nobody answers from his own memory any more
        with what was dropped.

        A tag that somebody else has fenced stays fenced. Under ``REPLICA_LAG`` the fence stays for
        that long.
        """

    def wait_for_leases(self, on_wait: OnWait) -> None:
        """Wait until nobody answers alone who was not told, because the store failed."""

    @abstractmethod
    def delete_patterns(self, patterns: Iterable[str]) -> int:
        """Delete the keys that match, as `pattern_place` returns them; return how many there were.

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
