"""What operators do by hand, in the admin, over REST, on the command line; all of it is audited.

Unlike the writes of a project, this happens at once, whatever transaction is open.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, router, transaction
from django.db.models import Model

from cache_invalidation.conf import settings
from cache_invalidation.connections import shielded
from cache_invalidation.delivery.fencing import deliver
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.explain.explanation import RuleEffect, effects_of
from cache_invalidation.explain.known import Known
from cache_invalidation.explain.readers import unread
from cache_invalidation.metrics.report import reset_metrics
from cache_invalidation.models import AuditEntry
from cache_invalidation.operations import audit
from cache_invalidation.operations.entities import Entity
from cache_invalidation.operations.names import Named
from cache_invalidation.rules.catalog import all_rows
from cache_invalidation.rules.consequences import consequences, say
from cache_invalidation.rules.declarations import Change
from cache_invalidation.rules.registry import Event, registry
from cache_invalidation.stores import get_store
from cache_invalidation.tags import (
    ROOT,
    Invalidation,
    check_names,
    check_star,
    collapse,
    is_catch_all,
    table_of,
)
from cache_invalidation.transactions.batch import Batch
from cache_invalidation.writes.events import add_targets

logger = logging.getLogger("cache_invalidation")

View = Callable[..., Any]


def at_once(view: View) -> View:
    """Return `view` kept out of ``ATOMIC_REQUESTS``: an error after what is done undoes nothing."""
    for using in connections:
        view = transaction.non_atomic_requests(using)(view)
    return view


@dataclass(kw_only=True)
class Request:
    """What is to be invalidated by hand. Names are checked when it is made.

    `names` are those of cached functions, pages and blocks; what is `named` has their tags.

    Raises `ValueError` for a name that cannot be one, for a pattern that matches every key unless
    `everything` is set, and for patterns where the cache cannot list its keys.
    """

    tags: Iterable[str] = ()
    keys: Iterable[str] = ()
    patterns: Iterable[str] = ()
    entities: Sequence[Entity] = ()
    names: Sequence[Named] = ()
    events: Sequence[Event] = ()
    everything: bool = False
    named: Invalidation = field(init=False)

    def __post_init__(self) -> None:
        tags = [*map(check_star, check_names(self.tags)), *(named.tag for named in self.names)]
        self.named = Invalidation(
            tags=tags, keys=self.keys, patterns=self.patterns, everything=self.everything
        )
        if self.named.patterns and not _knows_patterns():
            raise ValueError("This cache cannot list its keys, so it knows no patterns.")

    def __bool__(self) -> bool:
        return bool(self.named or self.entities or self.events)

    @property
    def emptied(self) -> list[str]:
        """What it empties, in words, because it says so."""
        return _emptied(self.named.tags, self.named.patterns)

    @cached_property
    def changes(self) -> list[Change]:
        """Changes that stand for any change of the entities, as they are when first asked for."""
        found: dict[tuple[type[Model], str], list[Any]] = {}
        for entity in self.entities:
            model = table_of(entity.model)
            using = entity.using or router.db_for_write(model)
            found.setdefault((model, using), []).append(entity.pk)
        return [change for which, pks in found.items() for change in _changes(*which, pks)]

    @property
    def digest(self) -> str:
        """The same for requests that name the same, in whatever order."""
        named = [sorted(names) for names in (self.named.tags, self.named.keys, self.named.patterns)]
        entities = sorted(f"{e.model._meta.label_lower} {e.pk!r} {e.using}" for e in self.entities)
        events = sorted(f"{e.name} {sorted(e.payload.items())!r}" for e in self.events)
        spelled = json.dumps([*named, entities, events])
        return blake2b(spelled.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it: all targets, what they count as, and which rows of the outbox wait.

    `lost` are the patterns of rules by which this cache can delete nothing, `unread` the tags that
    were named and that nothing known depends on.
    """

    tags: tuple[str, ...]
    keys: tuple[str, ...]
    patterns: tuple[str, ...]
    entities: Mapping[str, int]
    result: AuditEntry.Result
    lost: tuple[str, ...] = ()
    pending: tuple[int, ...] = ()
    audit: int | None = None
    unread: tuple[str, ...] = ()

    @property
    def emptied(self) -> list[str]:
        """What it empties, in words, because somebody says so: the request, a rule, an event."""
        return _emptied(self.tags, self.patterns)

    def as_dict(self, *, dry_run: bool) -> dict[str, Any]:
        """Return it as REST and the command line say it; of a dry run, there is no result."""
        return {
            "dry_run": dry_run,
            "result": None if dry_run else str(self.result),
            "tags": list(self.tags),
            "keys": list(self.keys),
            "patterns": list(self.patterns),
            "entities": dict(self.entities),
            "lost": list(self.lost),
            "unread": list(self.unread),
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
        lost=tuple(entry.detail.get("lost", ())),
        unread=tuple(entry.detail.get("unread", ())),
        pending=tuple(entry.detail.get("pending", ())),
        audit=entry.pk,
    )


def preview(request: Request) -> Outcome:
    """Return what `invalidate` would do; touches nothing.

    Rows are read, and the subscribers of events are asked.
    """
    return replace(_planned(_batch(request)), unread=_unread(request))


def by_rule(request: Request) -> tuple[RuleEffect, ...]:
    """Return what each rule makes of the entities of `request`; touches nothing."""
    return effects_of(request.changes)


def invalidate(
    request: Request,
    operator: audit.Operator,
    *,
    reason: str = "",
    idempotency_key: str | None = None,
) -> Outcome:
    """Make everything that `request` names invalid now, and write it into the audit log.

    If the cache does not answer, the outcome is "pending", and names the row of the outbox; it is
    "failed" where there is no outbox either, and "partly" if nothing but patterns is lost. Raises
    `audit.AlreadyDone` for an idempotency key that the operator has used before.
    """
    batch = _batch(request)
    planned = _planned(batch)
    targets = {kind: list(getattr(planned, kind)) for kind in ("tags", "keys", "patterns")}
    once = None if idempotency_key is None else (idempotency_key, request.digest)
    entry = audit.begin(AuditEntry.Action.INVALIDATE, operator, reason, targets, once)
    if deliver(batch):
        result = AuditEntry.Result.PARTLY if planned.lost else AuditEntry.Result.DONE
    else:
        result = AuditEntry.Result.PENDING if batch.pending else AuditEntry.Result.FAILED
    outcome = replace(
        planned,
        result=result,
        pending=(batch.pending.pk,) if batch.pending else (),
        audit=entry.pk if entry else None,
        # Asked afterwards: that has not to wait for it.
        unread=_unread(request),
    )
    found = outcome.as_dict(dry_run=False)
    about = ("entities", "lost", "pending", "unread")
    audit.end(entry, result, {kind: found[kind] for kind in about})
    return outcome


def reset(operator: audit.Operator, *, reason: str = "") -> None:
    """Set the counters to zero, and write that into the audit log.

    Raises `StoreUnavailable` if the cache does not answer.
    """
    with audit.audited(AuditEntry.Action.RESET_METRICS, operator, reason, {}):
        reset_metrics()


def _batch(request: Request) -> Batch:
    """Return everything that `request` names, directly or by the rules."""
    batch = Batch(DEFAULT_DB_ALIAS, deliver)
    if request.named:
        batch.add(request.named, "manual", "manual")
    for change in request.changes:
        for consequence in consequences(change):
            batch.take(consequence)
            say(consequence)
            batch.count(consequence.rule.entity_type, "manual")
    for event in request.events:
        for subscriber in registry.subscribers_of(event.name):
            with shielded(batch.alias):
                add_targets(batch, subscriber(event), event.name, f"event:{event.name}")
    return batch


def _changes(model: type[Model], using: str, pks: Sequence[Any]) -> Iterator[Change]:
    """Yield a change that stands for any change of each row, as it is now, if it still exists.

    Without a primary key it is one of any row.
    """
    change = Change(model=model, operation="manual", using=using)
    rows: dict[Any, Model] = {}
    try:
        with shielded(using):
            rows = all_rows(model, using).in_bulk([pk for pk in pks if pk is not None])
    except DatabaseError:
        # A table that is not there yet, say. What looks at the rows then stands for any.
        logger.warning("Rows of %s cannot be read.", model._meta.label)
    for pk in pks:
        yield replace(change, pk=pk, new=rows.get(pk))


def _planned(batch: Batch) -> Outcome:
    """Return what comes of `batch` if nothing goes wrong; it is not delivered yet."""
    patterns = tuple(sorted(batch.patterns))
    return Outcome(
        # As they are delivered: many of one family as the whole of it.
        tags=tuple(sorted(collapse(batch.tags, settings.ROW_TAG_LIMIT))),
        keys=tuple(sorted(batch.keys)),
        patterns=patterns,
        entities=dict(batch.entities),
        result=AuditEntry.Result.STARTED,
        lost=() if _knows_patterns() else patterns,
    )


def _unread(request: Request) -> tuple[str, ...]:
    """Return the tags that somebody has typed in, and on which nothing known depends."""
    typed = request.named.tags - {ROOT, *(named.tag for named in request.names)}
    return tuple(unread(typed, Known())) if typed else ()


def _emptied(tags: Iterable[str], patterns: Iterable[str]) -> list[str]:
    found = ["all cached values, pages and blocks"] if ROOT in tags else []
    return found + (["every plain key in the cache"] if any(map(is_catch_all, patterns)) else [])


def _knows_patterns() -> bool:
    try:
        return get_store().supports_patterns
    except StoreUnavailable:
        return True  # That there is no such cache, others say.
