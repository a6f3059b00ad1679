"""What operators do by hand, in the admin, over REST, on the command line; all of it is audited.

Unlike the writes of a project, this happens at once, whatever transaction is open.
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, router
from django.db.models import QuerySet
from django.db.models.functions import Now

from cache_invalidation.catalog import all_rows
from cache_invalidation.delivery import deliver
from cache_invalidation.explain.explanation import RuleEffect, effects_of
from cache_invalidation.metrics.report import reset_metrics
from cache_invalidation.models import AuditEntry, PendingInvalidation
from cache_invalidation.operations import audit
from cache_invalidation.operations.entities import Entity
from cache_invalidation.outbox.draining import drain
from cache_invalidation.registry import Event, registry
from cache_invalidation.resolution import consequences
from cache_invalidation.rules import Change, Invalidation
from cache_invalidation.tags import ROOT, is_catch_all, table_of
from cache_invalidation.transactions import Batch, shielded
from cache_invalidation.writes.events import add_targets

logger = logging.getLogger("cache_invalidation")


@dataclass(slots=True, kw_only=True)
class Request:
    """What is to be invalidated by hand. Names are checked when it is made.

    Raises `ValueError` for a name that cannot be one, and for a pattern that matches every key
    unless `everything` is set.
    """

    tags: Iterable[str] = ()
    keys: Iterable[str] = ()
    patterns: Iterable[str] = ()
    entities: Sequence[Entity] = ()
    events: Sequence[Event] = ()
    everything: bool = False
    named: Invalidation = field(init=False)

    def __post_init__(self) -> None:
        self.named = Invalidation(
            tags=self.tags, keys=self.keys, patterns=self.patterns, everything=self.everything
        )

    def __bool__(self) -> bool:
        return bool(self.named or self.entities or self.events)

    @property
    def hits_everything(self) -> bool:
        """Whether it empties the cache: the root tag, or a pattern that matches every key."""
        return ROOT in self.named.tags or any(map(is_catch_all, self.named.patterns))

    @property
    def digest(self) -> str:
        """The same for requests that name the same, in whatever order."""
        named = [sorted(names) for names in (self.named.tags, self.named.keys, self.named.patterns)]
        entities = sorted(f"{e.model._meta.label_lower} {e.pk!r}" for e in self.entities)
        events = sorted(f"{e.name} {sorted(e.payload.items())!r}" for e in self.events)
        spelled = json.dumps([*named, entities, events])
        return blake2b(spelled.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it: all targets, what they count as, and which rows of the outbox wait."""

    tags: tuple[str, ...]
    keys: tuple[str, ...]
    patterns: tuple[str, ...]
    entities: Mapping[str, int]
    result: AuditEntry.Result
    pending: tuple[int, ...] = ()
    audit: int | None = None

    def as_dict(self, *, dry_run: bool) -> dict[str, Any]:
        """Return it as REST and the command line say it; of a dry run, there is no result."""
        return {
            "dry_run": dry_run,
            "result": None if dry_run else str(self.result),
            "tags": list(self.tags),
            "keys": list(self.keys),
            "patterns": list(self.patterns),
            "entities": dict(self.entities),
            "pending": list(self.pending),
            "audit": self.audit,
        }


def outcome_of(entry: AuditEntry) -> Outcome:
    """Return what came of it, as it was then; its result is "started" until that is known."""
    return Outcome(
        tags=tuple(entry.targets["tags"]),
        keys=tuple(entry.targets["keys"]),
        patterns=tuple(entry.targets["patterns"]),
        entities=entry.detail.get("entities", {}),
        result=AuditEntry.Result(entry.result),
        pending=tuple(entry.detail.get("pending", ())),
        audit=entry.pk,
    )


def preview(request: Request) -> Outcome:
    """Return what `invalidate` would do; touches nothing.

    Rows are read, and the subscribers of events are asked.
    """
    return _outcome(_batch(request), AuditEntry.Result.STARTED)


def by_rule(request: Request) -> tuple[RuleEffect, ...]:
    """Return what each rule makes of the entities of `request`; touches nothing."""
    return effects_of(map(_change, request.entities))


def invalidate(
    request: Request,
    operator: audit.Operator,
    *,
    reason: str = "",
    idempotency_key: str | None = None,
) -> Outcome:
    """Make everything that `request` names invalid now, and write it into the audit log.

    If the cache does not answer, the outcome is "pending", and names the row of the outbox; it is
    "failed" where there is no outbox either. Raises `audit.AlreadyDone` for an idempotency key that
    the operator has used before.
    """
    batch = _batch(request)
    targets = {kind: sorted(getattr(batch, kind)) for kind in ("tags", "keys", "patterns")}
    once = None if idempotency_key is None else (idempotency_key, request.digest)
    entry = audit.begin(AuditEntry.Action.INVALIDATE, operator, reason, targets, once)
    if deliver(batch):
        result = AuditEntry.Result.DONE
    else:
        result = AuditEntry.Result.PENDING if batch.pending else AuditEntry.Result.FAILED
    outcome = _outcome(batch, result, entry)
    audit.end(entry, result, {"entities": dict(outcome.entities), "pending": list(outcome.pending)})
    return outcome


def reset(operator: audit.Operator, *, reason: str = "") -> None:
    """Set the counters to zero, and write that into the audit log.

    Raises `StoreUnavailable` if the cache does not answer.
    """
    with audit.audited(AuditEntry.Action.RESET_METRICS, operator, reason, {}):
        reset_metrics()


def retry(operator: audit.Operator, pks: Iterable[int], *, using: str, reason: str = "") -> int:
    """Deliver these rows of the outbox on the database `using` now; return how many were.

    Others that are due are delivered as well. Raises `StoreUnavailable` if the cache does not
    answer.
    """
    rows = PendingInvalidation.objects.using(using).filter(pk__in=list(pks))
    with audit.audited(
        AuditEntry.Action.RETRY, operator, reason, {"using": using, "pks": _pks(rows)}
    ):
        rows.update(next_attempt=Now())
        return sum(drain(using))


def discard(operator: audit.Operator, pks: Iterable[int], *, using: str, reason: str = "") -> int:
    """Delete these rows of the outbox on the database `using`; return how many there were.

    What they name stays in the cache, stale or not, and is kept in the audit log.
    """
    rows = PendingInvalidation.objects.using(using).filter(pk__in=list(pks))
    kept = [row.targets for row in rows]
    targets = {"using": using, "pks": _pks(rows), "discarded": kept}
    with audit.audited(AuditEntry.Action.DISCARD, operator, reason, targets):
        return rows.delete()[0]


def _pks(rows: QuerySet[PendingInvalidation]) -> list[int]:
    return list(rows.values_list("pk", flat=True))


def _batch(request: Request) -> Batch:
    """Return everything that `request` names, directly or by the rules."""
    batch = Batch(DEFAULT_DB_ALIAS, deliver)
    if request.named:
        batch.add(request.named, "manual", "manual")
    for entity in request.entities:
        for consequence in consequences(_change(entity)):
            batch.take(consequence)
            batch.count(consequence.rule.entity_type, "manual")
    for event in request.events:
        for subscriber in registry.subscribers_of(event.name):
            with shielded(batch.alias):
                add_targets(batch, subscriber(event), event.name, f"event:{event.name}")
    return batch


def _change(entity: Entity) -> Change:
    """Return a change that stands for any change of the row, as it is now, if it still exists."""
    model = table_of(entity.model)
    using = router.db_for_write(model)
    if entity.pk is None:
        return Change(model=model, operation="manual", using=using)
    row = None
    try:
        with shielded(using):
            row = all_rows(model, using).filter(pk=entity.pk).first()
    except DatabaseError:
        # A table that is not there yet, say. What looks at the row then stands for any.
        logger.warning("The row %r of %s cannot be read.", entity.pk, model._meta.label)
    pk = entity.pk if row is None else row.pk
    return Change(model=model, operation="manual", using=using, pk=pk, new=row)


def _outcome(batch: Batch, result: AuditEntry.Result, entry: AuditEntry | None = None) -> Outcome:
    return Outcome(
        tags=tuple(sorted(batch.tags)),
        keys=tuple(sorted(batch.keys)),
        patterns=tuple(sorted(batch.patterns)),
        entities=dict(batch.entities),
        result=result,
        pending=(batch.pending.pk,) if batch.pending else (),
        audit=entry.pk if entry else None,
    )
