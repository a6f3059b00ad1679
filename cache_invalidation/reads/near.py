"""Values that this process keeps near: taken from its memory, and put there.

A hit is what a lookup would find at this moment: nobody who has written what it depends on has
control again before this process has dropped it, or may not answer alone any more.
"""

from math import inf
from time import monotonic, time
from typing import Any, Final

from cache_invalidation.conf import settings
from cache_invalidation.metrics.counters import counters
from cache_invalidation.observers import observers
from cache_invalidation.reads.dependencies import hand_up
from cache_invalidation.reads.kept_calls import stored_at, unwrap
from cache_invalidation.reads.read import DUE, Read
from cache_invalidation.rules.registry import registry
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.messages import Entry, Filling, Found, Versions
from cache_invalidation.stores.near.holding import Holding
from cache_invalidation.stores.near.immutable import is_immutable
from cache_invalidation.stores.near.memory import Kept, Lease
from cache_invalidation.stores.near.registrar import Held
from cache_invalidation.transactions.batch import alive
from cache_invalidation.transactions.open_batches import has_any

# Arguments that say all there is to say about the key and the tags of a call; and so many calls of
# each function are remembered.
PLAIN: Final = frozenset({int, str, bool, type(None)})
CALLS: Final = 1000

ELSEWHERE: Final = object()


def is_valid(kept: Kept) -> bool:
    """Whether this process may answer alone with what was taken from it before."""
    return kept.lease.until > monotonic() < kept.expires


def take(read: Read, kept: Kept, store: Store) -> bool:
    """Leave in `read` what is kept; tell whether it still was there, and could be decoded."""
    payload, value = kept.payload, kept.value
    if not is_valid(kept):
        return False
    if not kept.is_shared:
        try:
            value = read.codec.decode(unwrap(payload), store)
        except ValueError:
            return False
    kept.visited = kept.lease.was_used = True
    read.value, read.payload, read.versions, read.is_hit = value, payload, kept.versions, True
    read.kept, read.mark = kept, kept.mark
    if kept.nonce:
        nonce, kept.nonce = kept.nonce, b""
        counters.hit_first(read.name, (kept.place, kept.seal), nonce, read.lifetime)
    counters.add(f"near:{read.name}")
    return True


class Looking:
    """A lookup, or a computation, whose value is to be kept: begun before it, ended after it.

    What was begun under one lease is not kept under another one.
    """

    __slots__ = ("_began", "_holding", "_lease", "_lives", "_read", "_stamp", "_store", "_under")

    def __init__(self, read: Read, store: Store, holding: Holding) -> None:
        self._read, self._store, self._holding = read, store, holding
        self._lease: Lease = holding.memory.lease
        self._began = monotonic()
        # What it was registered under by the server, and by which stamp; 0 if it was not.
        self._under: set[str] = set()
        self._stamp = 0
        self._lives: float | None = None

    def look(self, tags: tuple[str, ...], *, with_further: bool) -> Found:
        """Return what is there."""
        read, store, memory = self._read, self._store, self._holding.memory
        if holder := self.holder():
            return self.held(self._holding.registrar.hold(read.entry, tags, holder))
        kept = memory.get(read.entry)
        if kept is not None and (found := self._look_again(kept, tags)) is not None:
            return found
        return store.lookup(read.entry, tags, with_further=with_further)

    def held(self, held: Held) -> Found:
        """Return what was found, by whoever has looked for many, and remember what as."""
        self._stamp, self._lives = held.stamp, held.lives
        self._under = self._names(held.found.versions)
        return held.found

    def _look_again(self, kept: Kept, tags: tuple[str, ...]) -> Found | None:
        """Return what is kept, with the versions of now, if the same still is in the store.

        There is no need for the value then.
        """
        payload, own = kept.payload, self._read.tags
        if self._began >= kept.expires:
            return None
        asked = tuple(sorted({*tags, *kept.versions}))
        found = self._holding.registrar.look_again(kept.place, kept.seal, asked)
        if found is None:
            return None
        self._lease = kept.lease
        further = tuple(tag for tag in kept.versions if tag not in own)
        return found._replace(
            entry=Entry(kept.seal, further, payload, b"\0", found.mark, kept.salt)
        )

    def fill(self, filling: Filling) -> bool:
        """Store what was computed, and keep it; tell whether it could be stored."""
        self._stamp = 0
        if not (holder := self.holder()):
            is_stored = self._store.fill(filling)
        else:
            self._under = self._names(filling.versions) | self._names(filling.conditions)
            stamp = self._holding.registrar.fill_and_hold(filling, holder)
            is_stored, self._stamp = stamp is not None, stamp or 0
        if is_stored and self._read.refresh and not filling.salt:
            # Under the same versions as before: nothing else tells that there is another value.
            self._holding.registrar.tell(filling.entry, filling.on_wait)
        elif is_stored:
            self._lives = filling.timeout
            self._keep(filling, filling.payload, filling.versions, filling.nonce)
        self._let_go()
        return is_stored

    def _names(self, versions: Versions) -> set[str]:
        return {self._read.entry, *map(self._store.version_key, versions)}

    def _let_go(self) -> None:
        """Have the server forget what was registered, and is not kept."""
        if self._stamp:
            self._holding.memory.let_go(self._lease, self._under, self._stamp)

    def holder(self) -> str:
        """Return who is to be registered; "" if nobody has the lease that it was begun under."""
        holder = self._holding.holder()
        return holder if holder == self._lease.holder else ""

    def end(self, found: Found, *, is_hit: bool) -> None:
        """Keep what was found, if it `is_hit`: has turned out to be valid."""
        entry, versions = found.entry, self._read.versions
        if is_hit and entry is not None and versions is not None:
            self._keep(entry, entry.payload, versions, 0)
        self._let_go()

    def _keep(self, of: Entry | Filling, payload: Any, versions: Versions, nonce: int) -> None:
        store, read = self._store, self._read
        if not (self._stamp or not self._lease.holder):
            return  # Nobody would tell this process when it is to be dropped.
        try:
            value = read.codec.decode(unwrap(payload), store)
        except ValueError:
            return
        is_shared = is_immutable(value)
        kept = Kept(
            place=read.entry,
            payload=payload,
            is_shared=is_shared,
            value=value if is_shared else None,
            lease=self._lease,
            stamp=self._stamp or 1,
            versions=versions,
            seal=of.seal,
            keys=frozenset(self._names(versions)),
            expires=self._began + self._seconds(payload),
            nonce=bytes([nonce]) if nonce else b"",
            name=read.name,
            mark=of.mark,
            salt=of.salt,
        )
        self._holding.memory.keep(kept, settings.NEAR_BYTES)

    def _seconds(self, payload: Any) -> float:
        """Return for how long it may be kept: until it expires, or is to be refreshed."""
        left = inf if self._lives is None else self._lives
        at, lifetime = stored_at(payload), self._read.lifetime
        if at is None or lifetime is None or self._read.overwrites:
            return left
        return min(left, at + DUE * lifetime - time())


class AtHand:
    """What is kept near of one function, by the plain calls that it answers.

    Most hits are of this kind: there is nothing to spell, to decode or to look at but the time.
    What this leaves to others is found by them as well.
    """

    __slots__ = ("_count", "_kept", "_parts")

    def __init__(self, name: str) -> None:
        self._count = counters.tally("hits", f"hits:{name}", f"near:{name}").one
        self._kept: dict[Any, Kept] = {}
        self._parts = registry.parts

    def get(self, args: tuple[Any, ...]) -> Any:
        """Return the value for `args`, or `ELSEWHERE`."""
        try:
            kept = self._kept.get((args, tuple(map(type, args))))  # 1 and True are equal.
        except TypeError:
            return ELSEWHERE  # One of them has no hash.
        if kept is None or observers or self._parts is not registry.parts:
            return ELSEWHERE
        if alive and has_any():
            return ELSEWHERE
        value, now = kept.value, monotonic()
        if not kept.lease.until > now < kept.expires:
            return ELSEWHERE
        kept.visited = kept.lease.was_used = True
        self._count()
        if now >= counters.flush_at:
            counters.flush()
        hand_up(kept.versions, True)
        return value

    def put(self, args: tuple[Any, ...], kept: Kept | None, store: Store) -> None:
        """Have `kept` at hand for the next call with `args`, if that is a plain one."""
        if kept is None or not kept.is_shared or not store.places_plainly:
            return
        kinds = tuple(map(type, args))
        if not PLAIN.issuperset(kinds):
            return
        if len(self._kept) >= CALLS or self._parts is not registry.parts:
            self._kept, self._parts = {}, registry.parts
        self._kept[args, kinds] = kept
