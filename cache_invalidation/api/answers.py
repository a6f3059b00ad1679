"""What clients get. The OpenAPI schema is made of these, and of those in `metrics.report`."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, Literal, NotRequired, TypedDict

from rest_framework import status
from rest_framework.response import Response

from cache_invalidation.api.limits import TARGETS_SHOWN
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.metrics.report import store_state
from cache_invalidation.metrics.shapes import Delivered, Metrics, Minute, StoreState
from cache_invalidation.models import AuditEntry, PendingInvalidation, backlog
from cache_invalidation.operations.actions import Outcome

STATUS: Final = {
    AuditEntry.Result.DONE: status.HTTP_200_OK,
    AuditEntry.Result.PARTLY: status.HTTP_200_OK,
    AuditEntry.Result.PENDING: status.HTTP_202_ACCEPTED,
    AuditEntry.Result.FAILED: status.HTTP_503_SERVICE_UNAVAILABLE,
}


class MetricsAnswer(Metrics):
    """The counters of all processes; `minutes` and `recent` where they were asked for."""

    minutes: NotRequired[list[Minute]]
    recent: NotRequired[list[Delivered]]


class Unavailable(TypedDict):
    """The cache does not answer; what can be said without it."""

    detail: str
    store: StoreState | None
    pending_invalidations: int


class Invalidated(TypedDict):
    """All that was, or would be, invalidated, and what it counts as.

    `result` is null for a dry run. `pending` are rows of the outbox on the default database,
    `audit` is the entry in the audit log, null if it could not be written. `lost` are patterns of
    rules by which this cache cannot delete anything; the rest is "partly" what was wanted. `unread`
    are tags of the request on which nothing known depends.
    """

    dry_run: bool
    result: Literal["done", "partly", "pending", "failed"] | None
    tags: list[str]
    keys: list[str]
    patterns: list[str]
    entities: dict[str, int]
    lost: list[str]
    unread: list[str]
    pending: list[int]
    audit: int | None


class Done(TypedDict):
    """It has been done."""

    result: Literal["done"]


class Waiting(TypedDict):
    """A row of the outbox of `database`.

    `targets` are the first hundred of each kind, and `sizes` tells how many there are.
    """

    database: str
    id: int
    created: str
    entity_type: str
    cause: str
    entities: dict[str, int]
    targets: dict[str, list[str]]
    sizes: dict[str, int]
    attempts: int
    next_attempt: str
    last_error: str


def unavailable(error: StoreUnavailable) -> Response:
    """Answer that the cache does not, with what is known without it."""
    state = None
    with suppress(StoreUnavailable):  # There may be no such cache.
        state = store_state()
    answer = Unavailable(
        detail=f"The cache does not answer: {error}",
        store=state,
        pending_invalidations=backlog(),
    )
    return Response(answer, status=status.HTTP_503_SERVICE_UNAVAILABLE)


def invalidated(outcome: Outcome, *, dry_run: bool = False) -> Response:
    """Answer what came of an invalidation, or would come of it."""
    answer = outcome.as_dict(dry_run=dry_run)
    return Response(answer, status=status.HTTP_200_OK if dry_run else STATUS[outcome.result])


def waiting(rows: Sequence[PendingInvalidation]) -> list[Waiting]:
    """Describe rows of the outbox."""
    return [
        Waiting(
            database=str(row._state.db),
            id=row.pk,
            created=row.created.isoformat(),
            entity_type=row.entity_type,
            cause=row.cause,
            entities=row.entities,
            targets={kind: names[:TARGETS_SHOWN] for kind, names in _targets(row).items()},
            sizes={kind: len(names) for kind, names in _targets(row).items()},
            attempts=row.attempts,
            next_attempt=row.next_attempt.isoformat(),
            last_error=row.last_error,
        )
        for row in rows
    ]


def _targets(row: PendingInvalidation) -> dict[str, list[str]]:
    """Return what `row` names, without what cannot be understood, of which its last error tells."""
    found: Any = row.targets if isinstance(row.targets, dict) else {}
    return {kind: names for kind, names in found.items() if isinstance(names, list)}
