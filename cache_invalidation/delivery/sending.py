"""From a batch to the store, and to those who want to know. What fails is raised.

Whoever calls this decides what becomes of an invalidation that could not be sent.
"""

import json
import logging
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from heapq import nsmallest
from typing import Any, Final

from django.db import connections
from django.dispatch import Signal

from cache_invalidation.connections import in_transaction
from cache_invalidation.context import during
from cache_invalidation.exceptions import CacheInvalidationError, PatternsNotSupported
from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.requests import current_path
from cache_invalidation.observers import about_write
from cache_invalidation.signals import invalidated, invalidation_failed
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import Delivery, OnWait
from cache_invalidation.stores.near.waiting import NOBODY, Told
from cache_invalidation.tags import Invalidation
from cache_invalidation.transactions.batch import Batch, Targets
from cache_invalidation.transactions.open_batches import hooks

logger = logging.getLogger("cache_invalidation")

TARGETS_SHOWN: Final = 20  # of each kind, in the metrics

Summary = dict[str, Any]

_untold: ContextVar[bool] = ContextVar("cache_invalidation_untold", default=False)


def send(
    batch: Batch,
    tags: Sequence[str],
    token: str,
    *,
    is_fenced: bool = False,
    told: Told = NOBODY,
) -> Summary:
    """Make `tags`, and the entries and keys of `batch`, invalid now; count the whole batch.

    The fence `token`, which stands if it `is_fenced`, is lifted; whom it has `told` is waited for.
    Returns what `announce` wants to be given. Raises `CacheInvalidationError` if the store fails.
    """
    said = summary(batch, tags)
    delivery = Delivery(
        token=token,
        tags=tags,
        entries=sorted(batch.entry_places),
        keys=sorted(batch.key_places),
        counts=counts(batch, tags),
        last=json.dumps(said),
        is_fenced=is_fenced,
        told=told,
        on_wait=count_wait(batch),
    )
    if not get_store().deliver(delivery):
        counters.update(delivery.counts)
    return said


def delete_patterns(batch: Batch) -> PatternsNotSupported | None:
    """Delete the keys that match the patterns of `batch`; return why the store never can.

    Raises `StoreUnavailable` if the store fails.
    """
    if batch.pattern_places:
        try:
            get_store().delete_patterns(sorted(batch.pattern_places))
        except PatternsNotSupported as error:
            return error
    return None


def lose_patterns(batch: Batch, error: PatternsNotSupported) -> None:
    """Tell everybody that nothing will be deleted by the patterns of `batch`."""
    lose(Invalidation(patterns=batch.patterns, everything=True), batch, error)


def lose(
    missed: Targets, batch: Batch, error: CacheInvalidationError, entries: Collection[str] = ()
) -> None:
    """Tell everybody that `missed` and `entries`, of `batch`, will never be delivered."""
    number = len(missed.tags) + len(missed.keys) + len(missed.patterns) + len(entries)
    logger.error("Could not invalidate (%s): %s", error, describe(missed, entries))
    counters.update({"failed": number})
    _tell(invalidation_failed, batch, invalidation=missed, error=error)


def announce(batch: Batch, tags: Sequence[str], said: Summary, seconds: float) -> None:
    """Tell that `batch`, with its collapsed `tags`, was delivered so many seconds after COMMIT."""
    where = {"using": batch.alias, "path": current_path(), "latency": round(seconds, 6)}
    counters.delivered(seconds, about_write() | said | where, tags)
    if not invalidated.has_listeners(Batch):
        return
    _tell(
        invalidated,
        batch,
        invalidation=Invalidation(
            tags=tags,
            keys=batch.keys,
            patterns=batch.patterns,
            entity_type=most_common(batch.entities),
            cause=most_common(batch.causes) or "manual",
            everything=True,
        ),
        entities=dict(batch.entities),
        duration=seconds,
    )


def count_wait(batch: Batch) -> OnWait:
    """Return what counts that `batch` had to wait for those who keep near what it changes."""
    return partial(counters.waited, most_common(batch.entities))


def counts(batch: Batch, tags: Sequence[str]) -> dict[str, int]:
    """Return what is to be added to the counters once `batch` is delivered.

    A batch to which nothing has happened is the rest of another, which was counted.
    """
    if not batch.entities:
        return {}
    found = Counter({f"invalidations:{name}": n for name, n in batch.entities.items()})
    found.update({name: size for name, size in _sizes(batch, tags).items() if size})
    return dict(found)


def summary(batch: Batch, tags: Sequence[str]) -> Summary:
    """Return what the metrics say of a delivery."""
    return {
        "when": datetime.now(UTC).isoformat(),
        "entity_type": most_common(batch.entities),
        "cause": most_common(batch.causes),
        "targets": {
            "tags": list(tags[:TARGETS_SHOWN]),
            "keys": nsmallest(TARGETS_SHOWN, batch.keys),
            "patterns": nsmallest(TARGETS_SHOWN, batch.patterns),
        },
        "sizes": _sizes(batch, tags),
    }


def _sizes(batch: Batch, tags: Sequence[str]) -> dict[str, int]:
    return {"tags": len(tags), "keys": len(batch.keys), "patterns": len(batch.patterns)}


def most_common(counter: Counter[str]) -> str | None:
    """Return what was counted most often, if anything was."""
    return counter.most_common(1)[0][0] if counter else None


def describe(targets: Targets, entries: Collection[str] = ()) -> str:
    """Return all that `targets` name, and the keys of `entries`, for the log."""
    return (
        f"tags={sorted(targets.tags)} keys={sorted(targets.keys)} "
        f"patterns={sorted(targets.patterns)}"
        f"{f' entries={sorted(entries)}' if entries else ''}"
    )


def _tell(signal: Signal, batch: Batch, **about: Any) -> None:
    if _untold.get():
        return
    tell = partial(_send, signal, using=batch.alias, **about)
    connection = connections[batch.alias]
    if in_transaction(connection) and not (connection.in_atomic_block or batch.by_hand):
        # Inside of COMMIT. A receiver may use the database, which it can once Django runs hooks.
        hooks(connection).insert(0, (set(), tell, True))
    else:
        tell()


def _send(signal: Signal, **about: Any) -> None:
    with untold():
        signal.send_robust(Batch, **about)


def untold() -> AbstractContextManager[None]:
    """Tell nobody of what is delivered in the block.

    Receivers that write would be told of what they have written, for ever.
    """
    return during(_untold, True)
