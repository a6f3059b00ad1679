"""The read path: sample the versions, look; what is computed then is for `storing`.

Used by `cached` for functions and for coroutines; nothing in here knows which of them it serves.
"""

import logging
from collections.abc import Generator, Sequence
from functools import partial
from time import monotonic, perf_counter
from typing import Final

from cache_invalidation.conf import settings
from cache_invalidation.connections import sees_snapshot
from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.metrics.counters import counters
from cache_invalidation.observers import observers
from cache_invalidation.reads import near
from cache_invalidation.reads.dependencies import hand_up
from cache_invalidation.reads.hints import conditions_met, hints, remember_further
from cache_invalidation.reads.kept_calls import unwrap
from cache_invalidation.reads.measured import absence, count_miss
from cache_invalidation.reads.observed import tell_lookup
from cache_invalidation.reads.read import Look, Outcome, Read
from cache_invalidation.reads.storing import give_up
from cache_invalidation.stores import get_store
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.messages import Entry, Found, Versions, is_fence, new_token
from cache_invalidation.stores.near.holding import Holding
from cache_invalidation.transactions.open_batches import written_by_this_thread

logger = logging.getLogger("cache_invalidation")

# So many values at most are looked for at once to be kept near: the server gets a script for each.
MOST_HELD: Final = 100

POLL_INTERVAL: Final = 0.02  # seconds between two looks of a caller that waits for another


def attempt(read: Read, look: Look | None = None) -> Generator[float, None, None]:
    """Look for the value of `read`; yield the seconds to wait between looks if it is locked.

    `look` is how to do that once, if not as `look_once` does.

    Never raises for a failure of the store: then the value is computed and not stored.
    """
    look, began = look or look_once, perf_counter() if observers else 0.0
    try:
        outcome = look(read)
        if read.lock and outcome == "misses" and read.storable:
            outcome = yield from _take_turn(read, look)
    except CacheInvalidationError:
        outcome, read.storable = "bypasses", False
    if not read.refresh:
        if outcome == "misses":
            count_miss(read.name, read.absence, read.mark)
        counters.add_read(outcome, read.name)
        if observers:
            tell_lookup(read, outcome, began)
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
    if read.near and store.near is not None:
        return _look_near(read, store, store.near, with_further=further, computes=computes)
    found = store.lookup(read.entry, _asked(read), with_further=further, head=read.head)
    return judge(read, found, computes=computes)


def _look_near(
    read: Read, store: Store, holding: Holding, *, with_further: bool, computes: bool
) -> Outcome:
    """Look into the memory of this process first; keep what is found elsewhere."""
    kept = None if read.refresh else holding.memory.get(read.entry)
    if kept is not None and near.is_valid(kept):
        if written_by_this_thread(kept.versions):
            return "bypasses"
        if near.take(read, kept, store):
            return "hits"
    looking = near.Looking(read, store, holding)
    found = looking.look(_asked(read), with_further=with_further)
    return _judge_near(read, looking=looking, found=found, computes=computes)


def looks_for_all(reads: Sequence[Read]) -> list[Look]:
    """Look at many places at once; return for each read how `attempt` is to look.

    What is kept near, or is to be, is among them. Raises `CacheInvalidationError` if the store
    fails.
    """
    holding = get_store().near
    looks = {} if holding is None else _looks_near(reads, holding)
    if rest := [number for number in range(len(reads)) if number not in looks]:
        found = look_for_all([reads[number] for number in rest])
        looks |= {n: partial(judge, found=each) for n, each in zip(rest, found, strict=True)}
    return [look for _, look in sorted(looks.items())]


def _looks_near(reads: Sequence[Read], holding: Holding) -> dict[int, Look]:
    """Return how to look for what is in the memory of this process, and for what is to be."""
    store, looks, begun = get_store(), dict[int, Look](), dict[int, near.Looking]()
    for number, read in enumerate(reads):
        if not read.near:
            continue
        read.entry = read.entry or store.entry_place(read.key)
        kept = holding.memory.get(read.entry)
        if kept is not None and near.is_valid(kept):
            looks[number] = look_once  # It is still there, or it takes one round trip more.
        elif len(begun) < MOST_HELD:
            begun[number] = near.Looking(read, store, holding)
    holder, *others = {looking.holder() for looking in begun.values()} or {""}
    if holder and not others:
        wanted = [(reads[number].entry, _asked(reads[number])) for number in begun]
        all_held = holding.registrar.hold_all(wanted, holder)
        for (number, looking), held in zip(begun.items(), all_held, strict=True):
            looks[number] = partial(_judge_near, looking=looking, found=looking.held(held))
    return looks


def _judge_near(
    read: Read, *, looking: near.Looking, found: Found, computes: bool = True
) -> Outcome:
    """Do what `judge` does, and keep what was found."""
    read.looking = looking
    outcome = judge(read, found, computes=computes)
    looking.end(found, is_hit=outcome == "hits")
    return outcome


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
    return tuple(sorted({*read.tags, *hint})) if hint else read.tags


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
            if found.entry.traces[0] and (read.entry, found.entry.seal) not in counters.hits:
                _take_note_of_hit(read, found.entry)
            return "hits"
    if computes:
        read.absence = absence(read.entry, found, versions, is_whole=not read.head)
        _prepare(read, found, {**found.versions, **versions}, store)
    return "misses"


def _versions_for(read: Read, found: Found, entry: Entry, store: Store) -> Versions:
    """Return, sorted, the versions now of everything that the entry found depends on."""
    further, versions = entry.further, found.versions
    if unknown := [tag for tag in further if tag not in versions]:
        versions = {**versions, **store.versions(unknown)}
    remember_further(read.key, further, records=read.records)
    if not unknown and len(versions) == len(read.tags) + len(further):
        return versions  # Exactly what was asked for, in that order.
    return {tag: versions[tag] for tag in sorted({*read.tags, *further})}


def _decode(read: Read, entry: Entry, store: Store) -> bool:
    try:
        read.value = read.codec.decode(unwrap(entry.payload), store)
    except ValueError:
        logger.warning("The entry %r cannot be read; computing it anew.", read.key, exc_info=True)
        return False
    read.is_hit, read.payload = True, entry.payload
    return True


def _take_note_of_hit(read: Read, entry: Entry) -> None:
    counters.hit_first(read.name, (read.entry, entry.seal), entry.traces[:1], read.lifetime)


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
