"""What becomes of a value that was computed: stored under the versions sampled before, or not."""

from collections.abc import Collection
from contextlib import suppress
from functools import partial
from typing import Any

from cache_invalidation.exceptions import CacheInvalidationError, StoreUnavailable
from cache_invalidation.metrics.counters import counters
from cache_invalidation.reads.dependencies import (
    NOTHING,
    Dependencies,
    collecting,
    hand_up,
    hand_up_all,
)
from cache_invalidation.reads.hints import conditions_met, remember, remember_further
from cache_invalidation.reads.kept_calls import wrap
from cache_invalidation.reads.measured import (
    begun,
    count_computing,
    count_filling,
    count_not_stored,
    new_nonce,
)
from cache_invalidation.reads.observed import tell_computed
from cache_invalidation.reads.read import Read
from cache_invalidation.reads.recorders import Sampled
from cache_invalidation.reads.reports import report
from cache_invalidation.reads.unstorable import tell
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import Filling, Versions, new_token
from cache_invalidation.transactions.open_batches import written_by_this_thread


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
        filling = Filling(entry=place, payload=payload, versions=versions, timeout=lifetime)
        note = begun(filling)
        if store.fill(filling):
            counters.note(note)


def finish(read: Read, value: Any, dependencies: Dependencies) -> str | None:
    """Store `value` if that is allowed, and let those who wait for it go on.

    Return why it was not stored, one of `unstorable.REASONS`; None if it was.

    Raises nothing but `UndeclaredRead` or a warning as an error, which a project asks for, and
    `UnstorableValue` under DEBUG.
    """
    try:
        reason = _finish(read, value, dependencies)
    finally:
        give_up(read)
        count_computing(read.name, dependencies.seconds)
    if reason is not None:
        count_not_stored(read.entry)
    tell_computed(read, dependencies, () if reason is None else (reason,))
    return reason


def _finish(read: Read, value: Any, dependencies: Dependencies) -> str | None:
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


def _encoded(
    read: Read, value: Any, dependencies: Dependencies
) -> tuple[bytes | None, Exception | None]:
    """Return `value` as it is stored, None if it need not be, and why it cannot be, if so."""
    with collecting(dependencies, "encode"):
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
        remember_further(read.key, tuple(sorted(further)), records=True)
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
            nonce=new_nonce(),
            salt=new_token() if read.overwrites else "",
            on_wait=partial(counters.waited, read.name),
        )
        note = begun(filling)
        if not (kept if read.looking is None else read.looking).fill(filling):
            return "dependencies"
        count_filling(read.name, filling, payload, note, read.absence)
        return None
    return "unavailable"


def fail(read: Read, dependencies: Dependencies, reasons: Collection[str] = ("exception",)) -> None:
    """Take note that the function raised: who catches it depends on what it has read, too.

    Or that its value must not be stored for other `reasons`.
    """
    hand_up_all(dependencies)
    give_up(read)
    count_computing(read.name, dependencies.seconds)
    count_not_stored(read.entry)
    tell_computed(read, dependencies, reasons)


def give_up(read: Read) -> None:
    """Let somebody else compute the value, if this caller had the lock for it."""
    if not read.token:
        return
    token, read.token = read.token, ""
    try:
        get_store().release(read.locked, token)
    except StoreUnavailable:
        return  # The lock times out by itself.
