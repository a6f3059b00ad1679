"""Delivering what waits in the outbox: by a command, a task, or a process that missed the cache.

Any number of processes may do so at the same time. A row is locked by the one that delivers it, and
delivering it twice does no harm.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from random import uniform
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

from django.db import connections, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from cache_invalidation.conf import settings
from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.outbox.rows import has_outbox, model, take
from cache_invalidation.sending import announce, delete_patterns, lose_patterns, send
from cache_invalidation.stores.base import new_token
from cache_invalidation.stores.recovery import on_recovery
from cache_invalidation.tags import collapse
from cache_invalidation.transactions import Batch

if TYPE_CHECKING:
    from cache_invalidation.models import PendingInvalidation

logger = logging.getLogger("cache_invalidation")

BATCH: Final = 100  # rows that are delivered in one round trip, and locked meanwhile
LONGEST_DELAY: Final = 60.0  # seconds between two attempts
PAUSE: Final = 0.1  # seconds between two looks for what other processes still write

Rows = Sequence["PendingInvalidation"]


def install() -> None:
    """Have the outbox drained whenever the cache is back. May be called again."""
    on_recovery(catch_up)


def drain(using: str, *, retry: bool = False) -> Iterator[int]:
    """Deliver what is due on the database `using`, once; yield the number of rows after each batch.

    With `retry`, what is to be tried again later is tried now. Rows that others are delivering are
    left to them. Raises `StoreUnavailable` when the cache does not answer; the rows of that batch
    are due again after a while that doubles each time, up to a minute, and is not the same for all.
    """
    last: int | None = 0
    while last is not None:
        done, last, error = _drain_batch(using, last, retry)
        if error is not None:
            raise error
        yield done


def drain_each(databases: Iterable[str], *, retry: bool = False) -> Iterator[int]:
    """Do the same for one database after the other; one that does not answer is left for last.

    Raises `StoreUnavailable` at once, and what a database raises when the others are done.
    """
    failure: Exception | None = None
    for using in databases:
        try:
            if has_outbox(connections[using]):
                yield from drain(using, retry=retry)
        except CacheInvalidationError:
            raise
        except Exception as error:  # noqa: BLE001 - raised below
            logger.warning("The outbox on %r cannot be drained (%r).", using, error)
            failure = failure or error
    if failure is not None:
        raise failure


def drain_all() -> int:
    """Deliver what is due on every database; return how many rows. Raises as `drain_each` does."""
    return sum(drain_each(connections))


def catch_up(deadline: float | None) -> bool:
    """Deliver the backlog of all databases; return whether nothing is left.

    Until the `deadline`, by the monotonic clock, what is written meanwhile is delivered as well.
    With None, everything is tried once.
    """
    while True:
        for delivered in drain_each(connections, retry=True):
            if delivered and deadline is not None and monotonic() > deadline:
                break  # There is more than can be done in time, or it was the last.
        if deadline is None or monotonic() >= deadline:
            return not any(_waits(using) for using in connections)
        sleep(min(PAUSE, max(0.0, deadline - monotonic())))


def _waits(using: str) -> bool:
    return has_outbox(connections[using]) and model().objects.using(using).exists()


def _drain_batch(
    using: str, after: int, retry: bool
) -> tuple[int, int | None, CacheInvalidationError | None]:
    """Deliver the next batch; return how many rows, the last of them, and what went wrong."""
    with transaction.atomic(using=using):
        rows = list(_claim(using, after, retry))
        if not rows:
            return 0, None, None
        batch = Batch(using, _nobody)
        delivered, error = _deliver(rows, batch)
        model().objects.using(using).filter(pk__in=[row.pk for row in delivered]).delete()
    if delivered:
        waited = timezone.now() - min(row.created for row in delivered)
        announce(batch, _tags(batch), waited.total_seconds())
    return len(delivered), rows[-1].pk, error


def _claim(using: str, after: int, retry: bool) -> "QuerySet[PendingInvalidation]":
    """Lock the next rows that nobody else has locked."""
    rows = model().objects.using(using)
    due = Q(next_attempt__lte=timezone.now())
    if retry:
        due |= Q(attempts__gt=0)
    found = rows.filter(due, pk__gt=after).order_by("pk")
    features = connections[using].features
    if features.has_select_for_update:
        found = found.select_for_update(skip_locked=features.has_select_for_update_skip_locked)
    else:
        # SQLite locks all or nothing, and only for a transaction that writes first.
        rows.filter(pk__lt=0).update(attempts=0)
    return found[:BATCH]


def _deliver(rows: Rows, batch: Batch) -> tuple[Rows, CacheInvalidationError | None]:
    """Deliver `rows` as one `batch`; return those delivered, and why others were not."""
    readable = []
    for row in rows:
        try:
            take(row, batch)
            readable.append(row)
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            logger.exception("The row %s of the outbox cannot be understood.", row.pk)
            _postpone([row], f"{type(error).__name__}: {error}")
    try:
        # Counted by the last step, so that nothing is counted twice if one of them fails.
        cannot = delete_patterns(batch)
        send(batch, _tags(batch), new_token())
    except CacheInvalidationError as error:
        _postpone(readable, str(error))
        return [], error
    if cannot is not None:
        lose_patterns(batch, cannot)
    return readable, None


def _tags(batch: Batch) -> Sequence[str]:
    return sorted(collapse(batch.tags, settings.ROW_TAG_LIMIT))


def _postpone(rows: Rows, error: str) -> None:
    """Have `rows` tried again later; not all at the same time."""
    for row in rows:
        delay = min(LONGEST_DELAY, 2.0 ** min(row.attempts, 6)) * uniform(0.5, 1)  # noqa: S311 - no secret
        row.attempts += 1
        row.last_error = error[:1000]
        row.next_attempt = timezone.now() + timedelta(seconds=delay)
    if rows:
        fields = ["attempts", "last_error", "next_attempt"]
        model().objects.using(rows[0]._state.db).bulk_update(rows, fields)


def _nobody(batch: Batch) -> None:
    """Deliver nothing: the batch of a drainer is never a hook."""
