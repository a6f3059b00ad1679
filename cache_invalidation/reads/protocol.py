"""The read path: sample the versions, look, compute, store under the versions sampled.

Used by `cached` for functions and for coroutines; nothing in here knows which of them it serves.
"""

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, Literal, Protocol

from cache_invalidation.conf import settings
from cache_invalidation.connections import sees_snapshot
from cache_invalidation.exceptions import CacheInvalidationError, StoreUnavailable
from cache_invalidation.metrics.counters import counters
from cache_invalidation.reads import values
from cache_invalidation.reads.dependencies import (
    NOTHING,
    Dependencies,
    collecting,
    hand_up,
    hand_up_all,
)
from cache_invalidation.reads.hints import conditions_met, hints, remember
from cache_invalidation.reads.kept_calls import Arguments, unwrap, wrap
from cache_invalidation.reads.recorders import Audited, Sampled
from cache_invalidation.reads.reports import audits, report
from cache_invalidation.reads.unstorable import tell
from cache_invalidation.stores import get_store
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.messages import Entry, Filling, Found, Versions, is_fence, new_token
from cache_invalidation.transactions.open_batches import written_by_this_thread

logger = logging.getLogger("cache_invalidation")

POLL_INTERVAL: Final = 0.02  # seconds between two looks of a caller that waits for another

Outcome = Literal["hits", "misses", "bypasses"]
Look = Callable[["Read"], Outcome]


class Default:
    """Stands for ``DEFAULT_TIMEOUT``, which is looked up when it is needed."""

    def __repr__(self) -> str:
        return "DEFAULT_TIMEOUT"


DEFAULT: Final = Default()


class Codec(Protocol):
    """How values are kept; see `values`, which does it for what functions return."""

    def encode(self, value: Any, store: Store, /) -> bytes:
        """Return `value` as `decode` takes it; raise whatever there is to raise if it cannot be."""

    def decode(self, payload: Any, store: Store, /) -> Any:
        """Return the value that `encode` was given; raise `ValueError` if it is unreadable."""


@dataclass(slots=True)
class Read:
    """One call of a cached function, or of something else that is cached, on its way.

    `tags` are expanded. `timeout` is in seconds, None for ever. With `records`, the value depends
    on whatever turns out to be read. With `refresh`, what is cached does not count. After
    `attempt`, either `is_hit` is set and `value` is the answer; or the value has to be computed and
    handed to `finish`, and may be stored if it is `storable`.
    """

    name: str
    key: str
    tags: tuple[str, ...]
    timeout: float | Default | None
    lock: bool = False
    records: bool = False
    function: Any = None
    codec: Codec = values
    # Names of what it is known to be for, besides its arguments: see `varying`.
    varies: frozenset[str] = frozenset()
    # What has been logged about the function, once for all of its calls.
    told: set[str] = field(default_factory=set)
    refresh: bool = False
    # So many bytes of what is stored are enough; 0 for all.
    head: int = 0
    # Where the entry is kept for who is served when the call begins.
    entry: str = ""
    is_hit: bool = False
    value: Any = None
    storable: bool = False
    versions: Versions | None = None
    # Versions of tags that it probably depends on, because it did so before.
    known: Versions = field(default_factory=dict)
    mark: str = ""
    # The lock that the caller has, and the entry that it is for.
    token: str = ""
    locked: str = ""
    # What is there in the place of an entry.
    plain: Any = None
    # What was found, or may be stored; and the call, if it is to be kept with what is stored.
    payload: Any = None
    call: Arguments | None = None

    @property
    def lifetime(self) -> float | None:
        """The seconds for which the value may be kept; None for ever."""
        return settings.DEFAULT_TIMEOUT if isinstance(self.timeout, Default) else self.timeout

    def dependencies(self) -> Dependencies:
        """Return what collects the dependencies of the value while it is computed."""
        versions = self.versions or {}
        if self.records:
            lifetime = self.lifetime if self.storable else None
            return Sampled(versions, self.storable, self.known, lifetime)
        if audits():
            return Audited(versions, self.storable, self.tags)
        return Dependencies(versions, self.storable)


def attempt(read: Read, look: Look | None = None) -> Generator[float, None, None]:
    """Look for the value of `read`; yield the seconds to wait between looks if it is locked.

    `look` is how to do that once, if not as `look_once` does.

    Never raises for a failure of the store: then the value is computed and not stored.
    """
    look = look or look_once
    try:
        outcome = look(read)
        if read.lock and outcome == "misses" and read.storable:
            outcome = yield from _take_turn(read, look)
    except CacheInvalidationError:
        outcome, read.storable = "bypasses", False
    if not read.refresh:
        counters.add(outcome, f"{outcome}:{read.name}")
    if read.is_hit and read.versions is not None:
        hand_up(read.versions, True)


def _take_turn(read: Read, look: Look) -> Generator[float, None, Outcome]:
    """Wait until the value is there or this caller is the one to compute it; not for ever."""
    store, token, deadline = get_store(), new_token(), monotonic() + settings.LOCK_TIMEOUT
    while True:
        if store.acquire(read.entry, token, settings.LOCK_TIMEOUT):
            read.token, read.locked = token, read.entry
        elif monotonic() >= deadline:
            return "misses"
        else:
            yield POLL_INTERVAL
        # Look again even with the lock: who held it before may have just stored the value.
        outcome = look(read)
        if read.is_hit:
            give_up(read)
        if read.is_hit or read.token or not read.storable:
            return outcome


def look_once(read: Read, *, computes: bool = True) -> Outcome:
    """Look at one place; leave what was found in `read`, and return how to count it.

    Who never `computes` what is missing only learns whether it is there.
    """
    read.storable = False
    store = get_store()
    read.entry = read.entry or store.entry_place(read.key)
    if written_by_this_thread(read.tags, read.entry):
        return "bypasses"
    further = read.records and read.key not in hints
    found = store.lookup(read.entry, _asked(read), with_further=further, head=read.head)
    return judge(read, found, computes=computes)


def look_for_all(reads: Sequence[Read]) -> list[Found]:
    """Look at many places at once; return for each what `judge` has to be given.

    Raises `CacheInvalidationError` if the store fails.
    """
    store = get_store()
    for read in reads:
        read.entry = read.entry or store.entry_place(read.key)
    found = store.lookup_many([(read.entry, _asked(read)) for read in reads])
    entries = [(each.entry, each.versions) for each in found if each.entry is not None]
    further = {tag for entry, known in entries for tag in entry.further if tag not in known}
    more = store.versions(sorted(further)) if further else {}
    return [_with(each, more) for each in found] if more else found


def _with(found: Found, more: Versions) -> Found:
    """Return what was found with the versions of further tags of its entry."""
    if found.entry is None:
        return found
    versions = {tag: more[tag] for tag in found.entry.further if tag in more} | dict(found.versions)
    return found._replace(versions=dict(sorted(versions.items())))


def _asked(read: Read) -> tuple[str, ...]:
    """Return the tags whose versions are asked for together with the entry."""
    hint = hints.get(read.key)
    return read.tags if hint is None else tuple(sorted({*read.tags, *hint}))


def judge(read: Read, found: Found, *, computes: bool = True) -> Outcome:
    """Leave in `read` what it is to get of what was found, and return how to count it.

    `computes` is as for `look_once`.
    """
    store = get_store()
    read.storable = False
    if written_by_this_thread(read.tags, read.entry):
        return "bypasses"
    read.plain, read.mark = found.plain, found.mark
    versions = found.versions
    if found.entry is not None and not read.refresh:
        versions = _versions_for(read, found, found.entry, store)
        if written_by_this_thread(versions):
            return "bypasses"
        if found.entry.is_valid(versions) and _decode(read, found.entry, store):
            read.versions = versions
            return "hits"
    if computes:
        _prepare(read, found, {**found.versions, **versions}, store)
    return "misses"


def _versions_for(read: Read, found: Found, entry: Entry, store: Store) -> Versions:
    """Return, sorted, the versions now of everything that the entry found depends on."""
    further, versions = entry.further, found.versions
    if unknown := [tag for tag in further if tag not in versions]:
        versions = {**versions, **store.versions(unknown)}
    _remember(read, further)
    if not unknown and len(versions) == len(read.tags) + len(further):
        return versions  # Exactly what was asked for, in that order.
    return {tag: versions[tag] for tag in sorted({*read.tags, *further})}


def _remember(read: Read, further: tuple[str, ...]) -> None:
    # Of what is recorded it has to be known as well that there is nothing further.
    if hints.get(read.key, None if read.records else ()) == further:
        return
    remember(hints, read.key, further)


def _decode(read: Read, entry: Entry, store: Store) -> bool:
    try:
        read.value = read.codec.decode(unwrap(entry.payload), store)
    except ValueError:
        logger.warning("The entry %r cannot be read; computing it anew.", read.key, exc_info=True)
        return False
    read.is_hit, read.payload = True, entry.payload
    return True


def _prepare(read: Read, found: Found, sampled: Versions, store: Store) -> None:
    """Settle, before anything is computed, under which versions it may be stored."""
    fenced = found.entry_fenced or any(is_fence(sampled[tag]) for tag in read.tags)
    read.storable = not fenced and not sees_snapshot()
    versions = dict(sampled) if read.records else {tag: sampled[tag] for tag in read.tags}
    missing = [tag for tag, version in versions.items() if version is None]
    lifetime = read.lifetime
    if read.storable and missing:
        missing += [tag for tag in conditions_met.get(read.key, ()) if tag not in versions]
        versions.update(store.mint(missing, lifetime))
    read.versions = {tag: versions.pop(tag) for tag in read.tags}
    read.known = versions
    if any(version is None or is_fence(version) for version in read.versions.values()):
        read.storable = False


def move(read: Read, key: str) -> None:
    """Have `read` end at `key`, where its value turned out to belong.

    Raises `CacheInvalidationError` if nobody can tell where that is.
    """
    read.key, read.entry = key, get_store().entry_place(key)


def put(read: Read, key: str, value: Any, lifetime: float) -> None:
    """Store beside the entry of `read` what leads to it, under its tags, for `lifetime` seconds."""
    versions = read.versions
    if not read.storable or versions is None:
        return
    with suppress(CacheInvalidationError):
        store = get_store()
        payload = read.codec.encode(value, store)
        place = store.entry_place(key)
        versions = dict(sorted(versions.items()))
        store.fill(Filling(entry=place, payload=payload, versions=versions, timeout=lifetime))


def finish(read: Read, value: Any, dependencies: Dependencies) -> str | None:
    """Store `value` if that is allowed, and let those who wait for it go on.

    Return why it was not stored, one of `unstorable.REASONS`; None if it was.

    Raises nothing but `UndeclaredRead` or a warning as an error, which a project asks for, and
    `UnstorableValue` under DEBUG.
    """
    try:
        payload, problem = _encoded(read, value, dependencies)
        unsaid = sorted(dependencies.varied.keys() - read.varies)
        if unsaid:
            dependencies.storable = False  # Who gets it would not be who it is for.
        versions = dependencies.versions
        # The function may have written itself, in a transaction that is still open.
        storable = dependencies.storable and not written_by_this_thread(versions, read.entry)
        hand_up(versions, storable, dependencies.varied, dependencies.conditions)
        learn(read, dependencies)
        report(read.name, dependencies, read.function, unsaid)
        if problem is not None:
            tell(read.name, value, problem, read.told)
            return "value"
        read.payload, read.versions = payload if storable else None, versions
        if storable and payload is not None:
            return store(read, payload, versions, dependencies.conditions)
        if unsaid:
            return "varies"
        # What it reads is to blame only if it could have been stored before.
        return "dependencies" if read.storable and not storable else "unavailable"
    finally:
        give_up(read)


def _encoded(
    read: Read, value: Any, dependencies: Dependencies
) -> tuple[bytes | None, Exception | None]:
    """Return `value` as it is stored, None if it need not be, and why it cannot be, if so."""
    with collecting(dependencies):
        # Whatever is lazy in the value is evaluated by this, and may depend on more.
        try:
            return read.codec.encode(value, get_store()) if dependencies.storable else None, None
        except StoreUnavailable:
            return None, None  # It is not known whether it could be stored.
        except Exception as error:  # noqa: BLE001 - serializers raise what they like
            return None, error


def learn(read: Read, dependencies: Dependencies) -> None:
    """Remember on what the value depends besides what is declared, and let others know."""
    further = set(dependencies.versions).difference(read.tags)
    if isinstance(dependencies, Sampled):
        further |= dependencies.tags.difference(read.tags)
        _remember(read, tuple(sorted(further)))
        if dependencies.conditions:
            remember(conditions_met, read.key, tuple(sorted(dependencies.conditions)))
    counters.found(read.name, further)


def store(
    read: Read, payload: bytes, versions: Versions, conditions: Versions = NOTHING
) -> str | None:
    """Store what was computed under `versions`, if the `conditions` stand as well.

    Return why not, as `finish` does.
    """
    versions = dict(sorted(versions.items()))
    further = tuple(tag for tag in versions if tag not in read.tags)
    with suppress(StoreUnavailable):
        kept = get_store()
        filling = Filling(
            entry=read.entry,
            payload=wrap(payload, read.call, kept),
            versions=versions,
            further=further,
            timeout=read.lifetime,
            mark=read.mark,
            conditions=conditions,
        )
        return None if kept.fill(filling) else "dependencies"
    return "unavailable"


def fail(read: Read, dependencies: Dependencies) -> None:
    """Take note that the function raised: who catches it depends on what it has read, too."""
    hand_up_all(dependencies)
    give_up(read)


def give_up(read: Read) -> None:
    """Let somebody else compute the value, if this caller had the lock for it."""
    if not read.token:
        return
    token, read.token = read.token, ""
    try:
        get_store().release(read.locked, token)
    except StoreUnavailable:
        return  # The lock times out by itself.
