"""What a process keeps near, by the places of entries, and drops as it is told to.

Each lookup and each invalidation has a *stamp*, a number that the server counts up for this holder.
What was looked up before an invalidation is not kept after it, in whatever order the two arrive.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final

from cache_invalidation.stores.messages import Versions

# Of so many keys it is remembered by themselves up to which stamp they were dropped.
FLOORS: Final = 10_000

# What an entry takes besides its value, and each of its keys with its version if no other entry has
# it, in bytes: by tracemalloc, of 2,000 entries with 2 and with 12 keys, under Python 3.11.
ENTRY_SIZE: Final = 400
KEY_SIZE: Final = 600


class Lease:
    """The right of `holder` to answer alone until a moment of the monotonic clock.

    `was_used` is set by whoever does so.
    """

    __slots__ = ("holder", "until", "was_used")

    def __init__(self, holder: str = "") -> None:
        self.holder = holder
        self.until = 0.0
        self.was_used = False


@dataclass(slots=True, eq=False)
class Kept:
    """An entry as it is kept: its payload, and its value if all who get it may share that.

    `keys` are the names under which the server knows who holds it. It goes at `expires`, by the
    monotonic clock; that is 0 when it was dropped. Who wants it takes the value or the payload
    first, and then looks at this. Its first hit is to be noted if there is a `nonce`. `name` is as
    in the metrics.
    """

    place: str
    payload: Any
    is_shared: bool
    value: Any
    lease: Lease
    stamp: int
    versions: Versions
    seal: bytes
    keys: frozenset[str]
    expires: float
    nonce: bytes
    name: str = ""
    # As in the entry.
    mark: str = ""
    salt: str = ""
    # Was it asked for since it was last looked at?
    visited: bool = False
    size: int = field(init=False)

    def __post_init__(self) -> None:
        """Work out what it takes; a value that is shared is there besides its payload."""
        times = 2 if self.is_shared else 1
        self.size = times * len(self.payload) + ENTRY_SIZE + KEY_SIZE * len(self.keys)

    def forget(self) -> None:
        """Have nobody use it any more, whoever still knows it."""
        self.expires = 0.0
        self.value = self.payload = None


class Memory:
    """What is kept under one lease. Whoever finds a lease that is over finds nothing."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._begin(Lease())

    def begin(self, lease: Lease) -> None:
        """Forget everything; keep what is looked up under `lease` from now on."""
        with self._lock:
            self._forget()
            self._begin(lease)

    def _forget(self) -> None:
        self.lease.until = 0.0
        for kept in self._kept.values():
            kept.forget()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except BaseException:
                # Interrupted in the middle, perhaps by a signal: what is kept might not be found
                # when it is to be dropped.
                self._forget()
                self._begin(Lease())
                raise

    def _begin(self, lease: Lease) -> None:
        self.lease = lease
        # In the order in which they came, or were spared.
        self._kept: dict[str, Kept] = {}
        self._under: dict[str, set[str]] = {}
        self._stamps: dict[str, int] = {}
        # Up to which stamps what was looked up is not kept any more: by key, and for all others.
        self._floors: dict[str, int] = {}
        self._floor = 0
        self._given_up: dict[str, int] = {}
        self.size = 0
        self.get = self._kept.get  # Looked up at each hit.

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, kept: Kept, limit: int) -> bool:
        """Keep a value, and drop others if they take more than `limit` bytes; tell if it is kept.

        It is not if it was dropped meanwhile, or belongs to a lease that is gone.
        """
        with self._changing():
            floor = self._floors.get
            if kept.lease is not self.lease or kept.size > limit:
                return False
            if any(kept.stamp <= floor(key, self._floor) for key in kept.keys):
                return False
            before = self._kept.get(kept.place)
            if before is not None:
                if before.stamp > kept.stamp:
                    return False
                self._remove(before)
            self._kept[kept.place] = kept
            self.size += kept.size
            for key in kept.keys:
                self._under.setdefault(key, set()).add(kept.place)
                self._stamps[key] = max(kept.stamp, self._stamps.get(key, 0))
            if before is not None:
                self._part(before, before.keys - kept.keys)
            while self.size > limit:
                self._evict()
        return True

    def _evict(self) -> None:
        """Drop what came first and was not asked for since it was last looked at (CLOCK)."""
        kept = next(iter(self._kept.values()))
        if kept.visited:
            kept.visited = False
            self._kept[kept.place] = self._kept.pop(kept.place)
        else:
            self._remove(kept)
            self._part(kept, kept.keys)

    def _remove(self, kept: Kept) -> None:
        del self._kept[kept.place]
        self.size -= kept.size
        kept.forget()

    def drop(self, stamp: int, keys: Iterable[str]) -> set[str]:
        """Drop what was looked up before `stamp` and is under one of `keys`; return its names."""
        names = set()
        with self._changing():
            for key in keys:
                self._raise_floor(key, stamp)
                for place in list(self._under.get(key, ())):
                    kept = self._kept[place]
                    if kept.stamp < stamp:
                        self._remove(kept)
                        self._part(kept, kept.keys)
                        names.add(kept.name)
        return names

    def let_go(self, lease: Lease, keys: Set[str], stamp: int) -> None:
        """Give up those of `keys` under which nothing is kept; they were registered by `stamp`."""
        with self._changing():
            if lease is self.lease:
                self._give_up(keys - self._under.keys(), stamp)
                # The server knows only the last stamp: by an older one, nothing is given up.
                for key in keys & self._under.keys():
                    self._stamps[key] = max(stamp, self._stamps[key])

    def _part(self, kept: Kept, keys: Iterable[str]) -> None:
        """Give up those of `keys` under which nothing else is kept."""
        for key in keys:
            places = self._under[key]
            places.discard(kept.place)
            if not places:
                del self._under[key]
                self._give_up((key,), self._stamps.pop(key))

    def _give_up(self, keys: Iterable[str], stamp: int) -> None:
        if not self.lease.holder:
            return  # It is registered nowhere.
        for key in keys:
            self._given_up[key] = max(stamp, self._given_up.get(key, 0))
            # Else what is on its way would be kept when nobody knows of it any more.
            self._raise_floor(key, stamp)

    def _raise_floor(self, key: str, stamp: int) -> None:
        if stamp > self._floors.get(key, self._floor):
            if len(self._floors) >= FLOORS:
                self._floor = max(self._floors.values())
                self._floors.clear()
            self._floors[key] = stamp

    def take_given_up(self) -> Mapping[str, int]:
        """Return the keys under which nothing is kept any more, with the stamps up to which."""
        with self._changing():
            given_up, self._given_up = self._given_up, {}
        return given_up
