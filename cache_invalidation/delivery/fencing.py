"""From a batch to the store: fence before COMMIT, deliver after it. The write path's last mile.

Nothing in here raises because of the store, but for `InvalidationAborted`, which a project asks
for. What cannot be delivered goes into the outbox; what cannot be kept there is lost: logged with
all its targets, counted, and made up for by dropping everything once the store is back.
"""

import logging
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from cache_invalidation.conf import settings
from cache_invalidation.connections import in_transaction, is_open_for_driver
from cache_invalidation.delivery.outbox import rows as outbox
from cache_invalidation.delivery.sending import (
    announce,
    count_wait,
    counts,
    delete_patterns,
    describe,
    lose,
    lose_patterns,
    send,
    summary,
)
from cache_invalidation.exceptions import (
    CacheInvalidationError,
    InvalidationAborted,
    StoreUnavailable,
)
from cache_invalidation.metrics.counters import counters
from cache_invalidation.observers import doing
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import Delivery, new_token
from cache_invalidation.stores.near.waiting import NOBODY, Told
from cache_invalidation.tags import Invalidation, collapse
from cache_invalidation.transactions.batch import Batch
from cache_invalidation.transactions.open_batches import current_batch

logger = logging.getLogger("cache_invalidation")


class batch_of:  # noqa: N801 - used as a block; every save passes here, and a generator is slow
    """Give the batch of the open transaction on `using`, or one that is delivered at the end."""

    __slots__ = ("at_once", "batch")

    def __init__(self, using: str) -> None:
        connection = connections[using]
        self.at_once = not in_transaction(connection)
        self.batch = Batch(using, deliver) if self.at_once else current_batch(connection, deliver)

    def __enter__(self) -> Batch:
        return self.batch

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if not self.at_once or kind is not None:
            return
        connection = connections[self.batch.alias]
        if is_open_for_driver(connection):
            settle(self.batch)  # It is delivered without what stands until the fence lapses.
            fence = raise_fence(self.batch, connection, always=True)
            deliver(self.batch, fence, commits_later=True)
        else:
            self.batch()


def drop(name: str, places: Mapping[str, str], tags: Collection[str] = ()) -> None:
    """Make the entries at `places` stale, and `tags`, on behalf of what is called `name`.

    At COMMIT, if there is a transaction: they may depend on what any of those that are open is
    about to commit.
    """
    opened = filter(in_transaction, connections.all(initialized_only=True))
    first, *others = list(opened) or [connections[DEFAULT_DB_ALIAS]]
    for connection in (first, *others):
        with batch_of(connection.alias) as batch:
            batch.tags.update(tags)
            batch.entry_places |= places
            if connection is first:
                batch.count(name, "manual")


@dataclass(frozen=True, slots=True)
class Fence:
    """The fence of one COMMIT of `connection`, which need not be the one that has its alias.

    `holds_until` is by the monotonic clock, 0 if it was not raised. It has `told` those who hold
    near what it drops.
    """

    token: str
    tags: tuple[str, ...]
    connection: BaseDatabaseWrapper
    holds_until: float = 0.0
    told: Told = NOBODY

    @property
    def holds(self) -> bool:
        """Whether it is certain that nobody stored anything under the tags since."""
        return monotonic() < self.holds_until


def raise_fence(batch: Batch, connection: BaseDatabaseWrapper, *, always: bool = False) -> Fence:
    """Keep every reader from what `batch`, of `connection`, is about to make stale.

    If the store fails, the batch is in the outbox afterwards, in the open transaction if there is
    one. With ``CONSISTENCY = "commit"`` no fence is raised unless it has to be done `always`.
    Raises `InvalidationAborted` if it fails and ``ON_STORE_FAILURE`` is ``"abort"``.
    """
    with doing("fence", batch.alias):
        return _raise(batch, connection, always)


def _raise(batch: Batch, connection: BaseDatabaseWrapper, always: bool) -> Fence:
    fence = Fence(new_token(), tuple(sorted(batch.tags)), connection)
    try:
        fence = replace(fence, tags=_tags_of(batch))
        is_wanted = always or settings.CONSISTENCY != "commit"
        store = get_store()
        if is_wanted and (fence.tags or batch.entry_places):
            lapses = monotonic() + settings.FENCE_TIMEOUT
            told = store.fence(fence.tags, sorted(batch.entry_places), fence.token)
            return replace(fence, holds_until=lapses, told=told)
        if not store.admits(urgent=True):
            raise StoreUnavailable(store.breaker.reason)
    except CacheInvalidationError as error:
        _not_raised(batch, fence, error)
    except Exception as error:
        # A write must not fail of what goes wrong here, unless that is wanted.
        logger.exception("Raising a fence failed.")
        _not_raised(batch, fence, StoreUnavailable(repr(error)))
    return fence


def _not_raised(batch: Batch, fence: Fence, error: CacheInvalidationError) -> None:
    """Do what the project wants to be done with a write of which the store cannot be told."""
    wanted = settings.ON_STORE_FAILURE
    if wanted == "abort":
        raise InvalidationAborted(
            f"The cache cannot be told that this write invalidates {len(fence.tags)} tags, "
            f"so it is rolled back: {error}"
        ) from error
    if wanted == "outbox":
        batch.pending = outbox.keep(batch, fence.tags, fence.connection, committed=False)


def deliver(batch: Batch, fence: Fence | None = None, *, commits_later: bool = False) -> bool:
    """Make everything in `batch` invalid now, and lift `fence`. Does so once, and never raises.

    If what the batch is about `commits_later`, at a time that nobody tells, the fence is left
    standing until it lapses, and so is a row of the outbox. Returns whether nothing went wrong.
    """
    if batch.closed:
        return True
    try:
        settle(batch)
        batch.closed = True
        if not batch:
            return True
        if fence is None:
            fence = Fence(new_token(), _tags_of(batch), connections[batch.alias])
        return _deliver(batch, fence, commits_later)
    except BaseException as error:
        if not isinstance(error, Exception):
            _wait_for_leases(batch)  # The fence stays until it lapses.
            raise
        # A write that is committed must not look as if it failed.
        logger.exception("Delivering an invalidation failed: %s", describe(batch, batch.entries))
        number = sum(map(len, (batch.tags, batch.keys, batch.patterns, batch.entries)))
        counters.update({"failed": max(1, number)})
        _distrust(StoreUnavailable(repr(error)), lost=True)
        _wait_for_leases(batch)
        return False


def end_failed(batch: Batch, fence: Fence, error: BaseException, *, many: bool = False) -> None:
    """Do what has to be done about a COMMIT, or a statement in autocommit, that ended in `error`.

    If the database still answers, it has refused; of `many` statements, perhaps not the first. If
    it does not, or the error is not its own, the rows may be committed now or in a moment: the
    fence has to stand until it lapses, and if it does not, readers may hold old rows that nobody
    else will tell them of.
    """
    if isinstance(error, DatabaseError) and fence.connection.is_usable():
        if many:
            deliver(batch, fence)
        else:
            withdraw(batch, fence)
    elif not fence.holds:
        deliver(batch, fence, commits_later=True)


def withdraw(batch: Batch, fence: Fence) -> None:
    """Lift `fence` without counting anything: what it was raised for has been rolled back."""
    delivery = Delivery(
        token=fence.token,
        tags=fence.tags,
        entries=sorted(batch.entry_places),
        is_fenced=fence.holds,
        on_wait=count_wait(batch),
    )
    with suppress(CacheInvalidationError):  # It lapses by itself.
        get_store().deliver(delivery)
    if batch.pending is not None and batch.pending.apart:
        outbox.forget(batch.pending)


def settle(batch: Batch) -> None:
    """Find out what was only to be known at COMMIT, but not what comes up meanwhile."""
    for key, tell in list(batch.started.items()):
        tell(batch)
        batch.started.pop(key, None)
    for _ in range(len(batch.deferred)):
        batch.deferred[0](batch)
        del batch.deferred[0]  # Not before: it is unknown until then, and might be interrupted.


def _tags_of(batch: Batch) -> tuple[str, ...]:
    return tuple(sorted(collapse(batch.tags, settings.ROW_TAG_LIMIT)))


def _deliver(batch: Batch, fence: Fence, commits_later: bool) -> bool:
    started = monotonic()
    tags = () if commits_later and fence.holds else fence.tags
    rest = batch
    try:
        said = send(batch, tags, fence.token, is_fenced=fence.holds, told=fence.told)
        if batch.pattern_places:
            rest = _part(batch, "pattern_places", "causes")  # The others are counted now.
            if (cannot := delete_patterns(rest)) is not None:
                lose_patterns(rest, cannot)
    except CacheInvalidationError as error:
        pending = batch.pending
        if pending and pending.apart and not commits_later and not outbox.make_due(pending):
            batch.pending = None
        waits_whole = batch.pending is not None
        _not_delivered(batch, rest, fence, error)
        if rest is batch:
            _wait_for_leases(batch)
        elif not waits_whole:
            _announce_without_patterns(batch, fence, monotonic() - started)
        return False
    if batch.pending is not None and not commits_later:
        outbox.forget(batch.pending)
    announce(batch, fence.tags, said, monotonic() - started)
    return True


def _announce_without_patterns(batch: Batch, fence: Fence, seconds: float) -> None:
    """Tell what was delivered of `batch`; the rest is told of when that is."""
    part = _part(batch, "tags", "key_places", "entry_places", "entities", "causes")
    if part:
        announce(part, fence.tags, summary(part, fence.tags), seconds)


def _part(batch: Batch, *names: str) -> Batch:
    """Return a batch with the attributes of `batch` that are named, and nothing else."""
    part = Batch(batch.alias, deliver)
    part.by_hand = batch.by_hand
    for name in names:
        getattr(part, name).update(getattr(batch, name))
    return part


def _not_delivered(batch: Batch, rest: Batch, fence: Fence, error: CacheInvalidationError) -> None:
    """See to it that the `rest` of a committed batch is delivered later, or made up for."""
    tags = () if rest is not batch else fence.tags
    if batch.pending is None and settings.ON_STORE_FAILURE != "ignore":
        batch.pending = outbox.keep(rest, tags, fence.connection, committed=True)
    if batch.pending is not None:
        logger.info("It waits in the outbox (%s): %s", error, describe(rest, rest.entries))
        if tags or rest.entry_places:
            _distrust(error)
        return
    if fence.holds:
        # It has dropped the versions already, unless the server has lost it since.
        logger.warning("The fence of %s stays until it lapses (%s).", fence.tags, error)
        counters.update(counts(rest, fence.tags))
        tags, rest = (), _part(rest, "key_places", "pattern_places", "causes")
    if not (tags or rest):
        return
    missed = Invalidation(tags=tags, keys=rest.keys, patterns=rest.patterns, everything=True)
    lose(missed, batch, error, rest.entries)
    if tags or rest.entry_places:
        _distrust(error, lost=True)


def _wait_for_leases(batch: Batch) -> None:
    with suppress(StoreUnavailable):  # There may be no such cache.
        get_store().wait_for_leases(count_wait(batch))


def _distrust(error: CacheInvalidationError, *, lost: bool = False) -> None:
    with suppress(StoreUnavailable):  # There may be no such cache.
        get_store().distrust(error, lost=lost)
