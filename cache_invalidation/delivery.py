"""From a batch to the store: fence before COMMIT, deliver after it. The write path's last mile.

Nothing in here raises because of the store, but for `InvalidationAborted`, which a project asks
for: an invalidation that cannot be delivered is logged with all its targets and counted.
"""

import json
import logging
from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import Any, Final

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.dispatch import Signal

from cache_invalidation.conf import settings
from cache_invalidation.exceptions import CacheInvalidationError, InvalidationAborted
from cache_invalidation.metrics.counters import counters
from cache_invalidation.rules import Invalidation
from cache_invalidation.signals import invalidated, invalidation_failed
from cache_invalidation.stores import get_store
from cache_invalidation.stores.base import Delivery, new_token
from cache_invalidation.tags import collapse
from cache_invalidation.transactions import (
    Batch,
    current_batch,
    hooks,
    in_transaction,
    is_open_for_driver,
)

logger = logging.getLogger("cache_invalidation")

TARGETS_SHOWN: Final = 20  # of the last invalidation, in the metrics

_telling: ContextVar[bool] = ContextVar("cache_invalidation_telling", default=False)


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
        if is_open_for_driver(connections[self.batch.alias]):
            deliver(self.batch, left_standing(raise_fence(self.batch, always=True)))
        else:
            self.batch()


@dataclass(frozen=True, slots=True)
class Fence:
    """The fence of one COMMIT; `holds_until` by the monotonic clock, 0 if it was not raised."""

    token: str
    tags: tuple[str, ...]
    holds_until: float

    @property
    def holds(self) -> bool:
        """Whether it is certain that nobody stored anything under the tags since."""
        return monotonic() < self.holds_until


def left_standing(fence: Fence) -> Fence:
    """Return what delivers all but the tags of `fence`, which stands until it lapses."""
    return replace(fence, tags=()) if fence.holds else fence


def raise_fence(batch: Batch, *, always: bool = False) -> Fence:
    """Keep every reader from what `batch` is about to make stale.

    With ``CONSISTENCY = "commit"`` that is left out, unless it has to be done `always`.
    Raises `InvalidationAborted` if it fails and ``ON_STORE_FAILURE`` is ``"abort"``.
    """
    fence = Fence(new_token(), tuple(sorted(batch.tags)), 0.0)
    try:
        fence = replace(fence, tags=_tags_of(batch))
        is_wanted = always or settings.CONSISTENCY != "commit"
        if not is_wanted or not (fence.tags or batch.entries):
            return fence
        lapses = monotonic() + settings.FENCE_TIMEOUT
        get_store().fence(fence.tags, sorted(batch.entries), fence.token)
        return replace(fence, holds_until=lapses)
    except CacheInvalidationError as error:
        if settings.ON_STORE_FAILURE == "abort":
            raise InvalidationAborted(
                f"The cache cannot be told that this write invalidates {len(fence.tags)} tags, "
                f"so it is rolled back: {error}"
            ) from error
    except Exception:
        # A write must not fail of what goes wrong here.
        logger.exception("Raising the fence failed; invalidating after COMMIT only.")
    return fence


def deliver(batch: Batch, fence: Fence | None = None) -> None:
    """Make everything in `batch` invalid now, and lift `fence`. Does so once, and never raises."""
    if batch.closed:
        return
    try:
        settle(batch)
        batch.closed = True
        if batch:
            _deliver(batch, fence or Fence(new_token(), _tags_of(batch), 0.0))
    except Exception:
        # A write that is committed must not look as if it failed.
        logger.exception("Delivering an invalidation failed: %s", _describe(batch))
        counters.update({"failed": max(1, len(batch.tags) + len(batch.keys) + len(batch.patterns))})


def was_refused(connection: BaseDatabaseWrapper, error: BaseException) -> bool:
    """Whether a write that ended in `error` has certainly not become visible.

    If the database still answers, it has refused. If it does not, or the error is not its own, the
    rows may be committed now or in a moment, and the fence has to stand until it lapses.
    """
    return isinstance(error, DatabaseError) and connection.is_usable()


def withdraw(batch: Batch, fence: Fence) -> None:
    """Lift `fence` without counting anything: what it was raised for has been rolled back."""
    delivery = Delivery(token=fence.token, tags=fence.tags, entries=sorted(batch.entries))
    try:
        get_store().deliver(delivery)
    except CacheInvalidationError:
        return  # It lapses by itself.


def settle(batch: Batch) -> None:
    """Find out what was only to be known at COMMIT."""
    while batch.deferred:
        batch.deferred.pop(0)(batch)


def _tags_of(batch: Batch) -> tuple[str, ...]:
    return tuple(sorted(collapse(batch.tags, settings.ROW_TAG_LIMIT)))


def _deliver(batch: Batch, fence: Fence) -> None:
    store, started = get_store(), monotonic()
    failures: list[CacheInvalidationError] = []
    patterns = sorted(batch.patterns)
    delivery = Delivery(
        token=fence.token,
        tags=fence.tags,
        entries=sorted(batch.entries),
        keys=sorted(batch.keys),
        counts=_counts(batch, fence),
        last=_last(batch, fence),
    )
    try:
        if not store.deliver(delivery):
            counters.update(delivery.counts)
    except CacheInvalidationError as error:
        failures.append(error)
        if fence.holds:
            # It has dropped the versions already, unless the server has lost it since.
            logger.warning("The fence of %s stays until it lapses (%s).", fence.tags, error)
        tags = () if fence.holds else fence.tags
        _failed(batch, Invalidation(tags=tags, keys=batch.keys, everything=True), error)
    try:
        if patterns:
            store.delete_patterns(patterns)
    except CacheInvalidationError as error:
        failures.append(error)
        _failed(batch, Invalidation(patterns=patterns, everything=True), error)
    if not failures:
        _announce(batch, fence, monotonic() - started)


def _counts(batch: Batch, fence: Fence) -> dict[str, int]:
    counts = Counter({f"invalidations:{name}": n for name, n in batch.entities.items()})
    sizes = {"tags": len(fence.tags), "keys": len(batch.keys), "patterns": len(batch.patterns)}
    counts.update({name: size for name, size in sizes.items() if size})
    return dict(counts)


def _last(batch: Batch, fence: Fence) -> str:
    return json.dumps(
        {
            "when": datetime.now(UTC).isoformat(),
            "entity_type": _main(batch.entities),
            "cause": _main(batch.causes),
            "targets": {
                "tags": fence.tags[:TARGETS_SHOWN],
                "keys": sorted(batch.keys)[:TARGETS_SHOWN],
                "patterns": sorted(batch.patterns)[:TARGETS_SHOWN],
            },
        }
    )


def _main(counter: Counter[str]) -> str | None:
    return counter.most_common(1)[0][0] if counter else None


def _failed(batch: Batch, missed: Invalidation, error: CacheInvalidationError) -> None:
    number = len(missed.tags) + len(missed.keys) + len(missed.patterns)
    if not number:
        return
    logger.error("Could not invalidate (%s): %s", error, _describe(missed))
    counters.update({"failed": number})
    _tell(invalidation_failed, invalidation=missed, using=batch.alias, error=error)


def _tell(signal: Signal, **about: Any) -> None:
    """Send `signal`, but not of what its receivers write: they would be told of that for ever."""
    if _telling.get():
        return
    token = _telling.set(True)
    try:
        signal.send_robust(Batch, **about)
    finally:
        _telling.reset(token)


def _describe(targets: Batch | Invalidation) -> str:
    return (
        f"tags={sorted(targets.tags)} keys={sorted(targets.keys)} "
        f"patterns={sorted(targets.patterns)}"
    )


def _announce(batch: Batch, fence: Fence, duration: float) -> None:
    if not invalidated.has_listeners(Batch):
        return
    invalidation = Invalidation(
        tags=fence.tags,
        keys=batch.keys,
        patterns=batch.patterns,
        entity_type=_main(batch.entities),
        cause=_main(batch.causes) or "manual",
        everything=True,
    )

    announce = partial(
        _tell,
        invalidated,
        invalidation=invalidation,
        entities=dict(batch.entities),
        using=batch.alias,
        duration=duration,
    )
    connection = connections[batch.alias]
    if in_transaction(connection) and not (connection.in_atomic_block or batch.by_hand):
        # Inside of COMMIT. A receiver may use the database, which it can once Django runs hooks.
        hooks(connection).insert(0, (set(), announce, True))
    else:
        announce()
