"""Rows of the outbox: written by the transaction that invalidates, deleted when that is done."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Combinable
from django.db.models.functions import Now

from cache_invalidation.conf import settings
from cache_invalidation.connections import in_transaction, shielded
from cache_invalidation.delivery.sending import most_common
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.observing.watcher import unrecorded
from cache_invalidation.stores import get_store
from cache_invalidation.tags import ROOT, Invalidation
from cache_invalidation.transactions.batch import Batch, Pending

if TYPE_CHECKING:
    from cache_invalidation.models import PendingInvalidation

logger = logging.getLogger("cache_invalidation")


KINDS: Final = ("tags", "entries", "keys", "patterns")  # of targets

# Where the cache keeps what is called so, for who was served; nobody else could tell.
PLACES: Final = {"entries": "entry_places", "keys": "key_places", "patterns": "pattern_places"}


def model() -> "type[PendingInvalidation]":
    """Return the model, which cannot be imported before the project's settings are there."""
    from cache_invalidation.models import PendingInvalidation

    return PendingInvalidation


def has_outbox(connection: BaseDatabaseWrapper) -> bool:
    """Whether the table is in the database of `connection`. See `cache_invalidation.models`."""
    from cache_invalidation.models import has_outbox

    return has_outbox(connection)


def due_in(seconds: float) -> Combinable:
    """Return when a row is due, by the clock of its database: all who write and drain share it."""
    return Now() + timedelta(seconds=seconds)


def keep(
    batch: Batch, tags: Sequence[str], connection: BaseDatabaseWrapper, *, committed: bool
) -> Pending | None:
    """Write `batch`, with its collapsed `tags`, into the outbox; return None if there is none.

    If it is not `committed` yet, the row becomes visible with the COMMIT of `connection`. Where
    that cannot be had, because there is no transaction, or the table is in the default database
    only, the row is not due before ``FENCE_TIMEOUT``: delivered earlier than the write is
    committed, it would be of no use.
    """
    for alias in dict.fromkeys((batch.alias, DEFAULT_DB_ALIAS)):
        using = connections[alias]
        if using is not connection and in_transaction(using):
            continue  # Another transaction, whose rollback would take the row along.
        apart = committed or not in_transaction(using)
        try:
            with unrecorded(), shielded(alias):
                pk = _insert(batch, tags, using, 0 if committed or not apart else _delay())
        except Exception:
            # A write must not fail of what goes wrong here.
            logger.exception("The outbox on %r cannot be written.", alias)
            continue
        if pk is not None:
            return Pending(alias, pk, apart)
    return None


def _delay() -> float:
    return settings.FENCE_TIMEOUT + settings.REPLICA_LAG


def _insert(
    batch: Batch, tags: Sequence[str], connection: BaseDatabaseWrapper, delay: float
) -> int | None:
    if not has_outbox(connection):
        return None
    targets: dict[str, Any] = {kind: sorted(getattr(batch, kind)) for kind in KINDS}
    targets["tags"] = list(tags)
    if places := {kind: found for kind, name in PLACES.items() if (found := getattr(batch, name))}:
        with suppress(StoreUnavailable):  # If there is no such cache, they are none.
            get_store()
            targets["places"] = places
    row = model()(
        targets=targets,
        entities=dict(batch.entities),
        entity_type=(most_common(batch.entities) or "")[:250],
        cause=(most_common(batch.causes) or "")[:250],
        next_attempt=due_in(delay),
    )
    # Without signals, since between fence and COMMIT nobody else may write; and without a block
    # around it, which there cannot be inside of a transaction that Django does not know of.
    row._save_table(  # type: ignore[attr-defined]
        raw=True, cls=model(), force_insert=True, using=connection.alias
    )
    return row.pk


def take(row: "PendingInvalidation", batch: Batch) -> None:
    """Add what `row` keeps to `batch`.

    Raises `TypeError`, `ValueError` or `LookupError` for a row that nobody here can have written.
    """
    found = {kind: row.targets[kind] for kind in KINDS}
    placed = dict(row.targets.get("places", {}))
    places = {kind: dict(placed.get(kind, {})) for kind in PLACES}
    for kind, names in (*found.items(), *((kind, [*places[kind].values()]) for kind in PLACES)):
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"{kind} is {names!r}, which is not a list of strings")
    entities = {str(name): int(number) for name, number in dict(row.entities).items()}
    entries, keys, patterns = (
        set(found[kind]).difference(places[kind].values()) for kind in PLACES
    )
    # Of what somebody has written who did not say where it is, entries may be anywhere.
    rest = Invalidation(
        tags=[ROOT] if entries else [], keys=keys, patterns=patterns, everything=True
    )
    batch.tags.update(found["tags"])
    batch.take(rest)
    for kind, name in PLACES.items():
        getattr(batch, name).update(places[kind])
    batch.entities.update(entities)
    if row.cause:
        batch.causes[row.cause] += 1


def make_due(pending: Pending) -> bool:
    """Have a row delivered as soon as the store is back: what it is about is committed now.

    Returns False if that is no use, because it has been delivered before.
    """
    try:
        with unrecorded(), shielded(pending.using):
            rows = model().objects.using(pending.using).filter(pk=pending.pk)
            return bool(rows.update(next_attempt=Now()))
    except Exception:
        logger.exception("A row of the outbox on %r could not be updated.", pending.using)
        return False


def delete(pks: Sequence[int], using: str) -> None:
    """Delete rows that were delivered; nobody is told."""
    model().objects.using(using).filter(pk__in=pks)._raw_delete(using)


def forget(pending: Pending) -> None:
    """Delete the row of what was delivered after all; if that fails, it is delivered again."""
    try:
        with unrecorded(), shielded(pending.using):
            delete([pending.pk], pending.using)
    except Exception:
        # A write that is committed must not look as if it failed.
        logger.exception("A row of the outbox on %r could not be deleted.", pending.using)
