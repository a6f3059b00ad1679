"""What operators do by hand, in the admin, over REST, on the command line; all of it is audited.

Unlike the writes of a project, this happens at once, whatever transaction is open.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, IntegrityError, router, transaction
from django.db.models import Model, QuerySet
from django.utils import timezone

from cache_invalidation.catalog import all_rows
from cache_invalidation.delivery import deliver
from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.explain.explanation import RuleEffect, effects_of
from cache_invalidation.metrics.report import reset_metrics
from cache_invalidation.models import AuditEntry, PendingInvalidation
from cache_invalidation.outbox.draining import drain
from cache_invalidation.registry import Event, registry
from cache_invalidation.resolution import consequences
from cache_invalidation.rules import Change, Invalidation
from cache_invalidation.tags import ROOT, is_catch_all, table_of
from cache_invalidation.transactions import Batch, shielded
from cache_invalidation.writes.events import add_targets

logger = logging.getLogger("cache_invalidation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Who does it, and from where. `key` is the primary key of a user of the site, as text."""

    name: str
    key: str = ""
    origin: AuditEntry.Origin
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A row of `model`, by its primary key, or any row of it without one."""

    model: type[Model]
    pk: Any = None


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


class AlreadyDone(CacheInvalidationError):
    """A request was made before under the same idempotency key; `entry` tells of it.

    `is_same` tells whether it named the same, for the same reason.
    """

    def __init__(self, entry: AuditEntry, *, is_same: bool) -> None:
        super().__init__("A request with this idempotency key was made before.")
        self.entry = entry
        self.is_same = is_same

    @property
    def outcome(self) -> Outcome:
        """What came of it, as it was then; its result is "started" until that is known."""
        targets, detail = self.entry.targets, self.entry.detail
        return Outcome(
            tags=tuple(targets["tags"]),
            keys=tuple(targets["keys"]),
            patterns=tuple(targets["patterns"]),
            entities=detail.get("entities", {}),
            result=AuditEntry.Result(self.entry.result),
            pending=tuple(detail.get("pending", ())),
            audit=self.entry.pk,
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
    request: Request, operator: Operator, *, reason: str = "", idempotency_key: str | None = None
) -> Outcome:
    """Make everything that `request` names invalid now, and write it into the audit log.

    If the cache does not answer, the outcome is "pending", and names the row of the outbox; it is
    "failed" where there is no outbox either. Raises `AlreadyDone` for an idempotency key that the
    operator has used before.
    """
    batch = _batch(request)
    targets = {kind: sorted(getattr(batch, kind)) for kind in ("tags", "keys", "patterns")}
    once = None if idempotency_key is None else (idempotency_key, request.digest)
    entry = _begin(AuditEntry.Action.INVALIDATE, operator, reason, targets, once)
    if deliver(batch):
        result = AuditEntry.Result.DONE
    else:
        result = AuditEntry.Result.PENDING if batch.pending else AuditEntry.Result.FAILED
    outcome = _outcome(batch, result, entry)
    _end(entry, result, {"entities": dict(outcome.entities), "pending": list(outcome.pending)})
    return outcome


def reset(operator: Operator, *, reason: str = "") -> None:
    """Set the counters to zero, and write that into the audit log.

    Raises `StoreUnavailable` if the cache does not answer.
    """
    with _audited(AuditEntry.Action.RESET_METRICS, operator, reason, {}):
        reset_metrics()


def retry(operator: Operator, pks: Iterable[int], *, using: str, reason: str = "") -> int:
    """Deliver these rows of the outbox on the database `using` now; return how many were.

    Others that are due are delivered as well. Raises `StoreUnavailable` if the cache does not
    answer.
    """
    rows = PendingInvalidation.objects.using(using).filter(pk__in=list(pks))
    with _audited(AuditEntry.Action.RETRY, operator, reason, {"using": using, "pks": _pks(rows)}):
        rows.update(next_attempt=timezone.now())
        return sum(drain(using))


def discard(operator: Operator, pks: Iterable[int], *, using: str, reason: str = "") -> int:
    """Delete these rows of the outbox on the database `using`; return how many there were.

    What they name stays in the cache, stale or not, and is kept in the audit log.
    """
    rows = PendingInvalidation.objects.using(using).filter(pk__in=list(pks))
    kept = [row.targets for row in rows]
    targets = {"using": using, "pks": _pks(rows), "discarded": kept}
    with _audited(AuditEntry.Action.DISCARD, operator, reason, targets):
        return rows.delete()[0]


def _pks(rows: QuerySet[PendingInvalidation]) -> list[int]:
    return list(rows.values_list("pk", flat=True))


@contextmanager
def _audited(
    action: AuditEntry.Action, operator: Operator, reason: str, targets: Mapping[str, Any]
) -> Iterator[None]:
    entry = _begin(action, operator, reason, targets)
    try:
        yield
    except Exception as error:
        _end(entry, AuditEntry.Result.FAILED, {"error": f"{type(error).__name__}: {error}"})
        raise
    _end(entry, AuditEntry.Result.DONE, {})


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


def _begin(
    action: AuditEntry.Action,
    operator: Operator,
    reason: str,
    targets: Mapping[str, Any],
    once: tuple[str, str] | None = None,
) -> AuditEntry | None:
    """Write an entry; None if that fails, since what an operator does must not depend on it.

    What is done `once` has an idempotency key, and the digest of the request.
    """
    idempotency_key, digest = once or (None, "")
    entry = AuditEntry(
        action=action,
        user=operator.name[:250],
        user_key=operator.key[:64],
        origin=operator.origin,
        address=operator.address[:250],
        targets=dict(targets),
        reason=reason,
        detail={"request": digest} if once else {},
        idempotency_key=idempotency_key,
    )
    using = router.db_for_write(AuditEntry)
    try:
        with transaction.atomic(using=using):
            entry.save(using=using, force_insert=True)
    except IntegrityError:
        found = AuditEntry.objects.using(using).filter(
            user_key=entry.user_key, idempotency_key=idempotency_key
        )
        if idempotency_key is not None and (before := found.first()) is not None:
            is_same = (before.detail.get("request"), before.reason) == (digest, reason)
            raise AlreadyDone(before, is_same=is_same) from None
        raise
    except Exception as error:  # noqa: BLE001
        logger.error("%s by %r is not in the audit log (%r).", action, operator.name, error)
        return None
    return entry


def _end(entry: AuditEntry | None, result: AuditEntry.Result, detail: Mapping[str, Any]) -> None:
    if entry is None:
        return
    entry.result, entry.detail = result, {**entry.detail, **detail}
    try:
        with shielded(entry._state.db or DEFAULT_DB_ALIAS):
            entry.save(update_fields=["result", "detail"])
    except Exception:
        logger.exception("The result of %s cannot be written into the audit log.", entry)
