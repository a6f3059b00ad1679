"""Delivering what waits in the outbox: by a command, a task, or a process that missed the cache.

Any number of processes may do so at the same time. A row is locked by the one that delivers it, and
delivering it twice does no harm.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from random import uniform
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from django.db import OperationalError, connections, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from cache_invalidation.conf import settings
from cache_invalidation.delivery.outbox.rows import delete, due_in, has_outbox, model, take
from cache_invalidation.delivery.sending import (
    Summary,
    announce,
    delete_patterns,
    lose_patterns,
    send,
)
from cache_invalidation.exceptions import CacheInvalidationError, StoreRefused
from cache_invalidation.stores.messages import new_token
from cache_invalidation.stores.recovery import on_recovery
from cache_invalidation.tags import collapse
from cache_invalidation.transactions.batch import Batch

if TYPE_CHECKING:
    from cache_invalidation.models import PendingInvalidation

logger = logging.getLogger("cache_invalidation")

BATCH: Final = 100  # rows that are delivered in one round trip, and locked meanwhile
LONGEST_DELAY: Final = 60.0  # seconds between two attempts
PAUSE: Final = 0.1  # seconds between two looks for what other processes still write

Rows = Sequence["PendingInvalidation"]


class Sent(NamedTuple):
    """Rows that were delivered together, as one batch, and what `announce` is to say of it."""

    batch: Batch
    rows: Rows
    tags: Sequence[str]
    said: Summary


def install() -> None:
    """Have the outbox drained whenever the cache is back. May be called again."""
    on_recovery(catch_up)


def drain(using: str, *, retry: bool = False, only: Collection[int] | None = None) -> Iterator[int]:
    """Deliver what is due on the database `using`, once; yield the number of rows after each batch.

    With `retry`, what is to be tried again later is tried now; with `only`, the rows with these
    primary keys are, and no others. Rows that others are delivering are left to them. A row that
    the cache refuses is due again after a while that doubles each time, up to a minute, and is not
    the same for all. If it does not answer, that goes for the whole batch, and `StoreUnavailable`
    is raised.
    """
    last: int | None = 0
    while last is not None:
        done, last, error = _drain_batch(_chosen(using, retry, only), last)
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


def catch_up(deadline: float | None, stopped: Event) -> bool:
    """Deliver the backlog of all databases; return whether nothing is left.

    Until the `deadline`, by the monotonic clock, or until it is `stopped`, what is written
    meanwhile is delivered as well. With None, everything is tried once.
    """
    while True:
        for _ in drain_each(connections, retry=True):
            if stopped.is_set() or (deadline is not None and monotonic() > deadline):
                break  # There may be more than can be done in time.
        if deadline is None or monotonic() >= deadline or stopped.is_set():
            return not any(
                has_outbox(connections[using]) and model().objects.using(using).exists()
                for using in connections
            )
        pause = max(PAUSE, settings.RETRY_INTERVAL / 10)
        stopped.wait(min(pause, max(0.0, deadline - monotonic())))


def _drain_batch(
    due: "QuerySet[PendingInvalidation]", after: int
) -> tuple[int, int | None, CacheInvalidationError | None]:
    """Deliver the next batch; return how many rows, the last of them, and what went wrong."""
    using = due.db
    keys = list(due.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)[:BATCH])
    if not keys:
        return 0, None, None
    try:
        with transaction.atomic(using=using):
            rows = list(_locked(due.filter(pk__in=keys).order_by("pk"), using))
            sent, error = _deliver(rows, using)
            delivered = [row.pk for part in sent for row in part.rows]
            delete(delivered, using)
    except OperationalError as found:
        # Where transactions are serialized, that others have delivered the same rows.
        logger.warning("Rows of the outbox on %r are left to others (%r).", using, found)
        return 0, keys[-1], None
    for part in sent:
        waited = (timezone.now() - min(row.created for row in part.rows)).total_seconds()
        announce(part.batch, part.tags, part.said, max(0.0, waited))
    return len(delivered), keys[-1], error


def _chosen(
    using: str, retry: bool, only: Collection[int] | None
) -> "QuerySet[PendingInvalidation]":
    if only is not None:
        return model().objects.using(using).filter(pk__in=only)
    due = Q(next_attempt__lte=Now())
    if retry:
        due |= Q(attempts__gt=0)
    return model().objects.using(using).filter(due)


def _locked(rows: "QuerySet[PendingInvalidation]", using: str) -> "QuerySet[PendingInvalidation]":
    """Lock those of `rows` that nobody else has locked."""
    features = connections[using].features
    if features.has_select_for_update:
        return rows.select_for_update(skip_locked=features.has_select_for_update_skip_locked)
    # SQLite locks all or nothing, and only for a transaction that writes first.
    model().objects.using(using).filter(pk__lt=0).update(attempts=0)
    return rows


def _deliver(rows: Rows, using: str) -> tuple[list[Sent], CacheInvalidationError | None]:
    """Deliver `rows` in one round trip; one by one, if the store refuses something.

    Those that it does not refuse need not wait. If it refuses all of them, the others had better.
    """
    batch, readable = _read(rows, using)
    if not readable:
        return [], None
    tags = sorted(collapse(batch.tags, settings.ROW_TAG_LIMIT))
    try:
        said = _send(batch, tags)
    except StoreRefused as refusal:
        if len(readable) > 1:
            return _deliver_each(readable, using, refusal)
        _postpone(readable, str(refusal))
        return [], None
    except CacheInvalidationError as error:
        _postpone(readable, str(error))
        return [], error
    return [Sent(batch, readable, tags, said)], None


def _deliver_each(
    rows: Rows, using: str, refusal: CacheInvalidationError
) -> tuple[list[Sent], CacheInvalidationError | None]:
    sent: list[Sent] = []
    for row in rows:
        found, error = _deliver([row], using)
        sent += found
        if error is not None:
            return sent, error
    return sent, None if sent else refusal


def _read(rows: Rows, using: str) -> tuple[Batch, Rows]:
    """Return `rows` as one batch, without those that cannot be understood."""
    batch, readable = Batch(using, _nobody), []
    for row in rows:
        try:
            take(row, batch)
            readable.append(row)
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            logger.exception("The row %s of the outbox cannot be understood.", row.pk)
            _postpone([row], f"{type(error).__name__}: {error}")
    return batch, readable


def _send(batch: Batch, tags: Sequence[str]) -> Summary:
    # Counted by the last step, so that nothing is counted twice if one of them fails.
    cannot = delete_patterns(batch)
    said = send(batch, tags, new_token())
    if cannot is not None:
        lose_patterns(batch, cannot)
    return said


def _postpone(rows: Rows, error: str) -> None:
    """Have `rows` tried again later; not all at the same time."""
    for row in rows:
        delay = min(LONGEST_DELAY, 2.0 ** min(row.attempts, 6)) * uniform(0.5, 1)  # noqa: S311
        row.attempts += 1
        row.last_error = error[:1000]
        row.next_attempt = due_in(delay)
    if rows:
        fields = ["attempts", "last_error", "next_attempt"]
        model().objects.using(rows[0]._state.db).bulk_update(rows, fields)


def _nobody(batch: Batch) -> None:
    """Deliver nothing: the batch of a drainer is never a hook."""
