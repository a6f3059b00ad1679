"""What operators do to the rows of the outbox; all of it is audited."""

from collections.abc import Iterable

from django.db import transaction
from django.db.models import QuerySet

from cache_invalidation.delivery.outbox.draining import drain
from cache_invalidation.models import AuditEntry, PendingInvalidation
from cache_invalidation.operations import audit


def retry(operator: audit.Operator, pks: Iterable[int], *, using: str, reason: str = "") -> int:
    """Deliver these rows of the outbox on the database `using` now, due or not; return how many.

    Raises `StoreUnavailable` if the cache does not answer.
    """
    found = _pks(PendingInvalidation.objects.using(using).filter(pk__in=list(pks)))
    targets = {"using": using, "pks": found}
    with audit.audited(AuditEntry.Action.RETRY, operator, reason, targets) as detail:
        detail["delivered"] = sum(drain(using, only=found))
    return int(detail["delivered"])


def discard(operator: audit.Operator, pks: Iterable[int], *, using: str, reason: str = "") -> int:
    """Delete these rows of the outbox on the database `using`; return how many there were.

    What they name stays in the cache, stale or not, and is kept in the audit log.
    """
    rows = PendingInvalidation.objects.using(using).filter(pk__in=list(pks))
    targets = {"using": using, "pks": _pks(rows)}
    with audit.audited(AuditEntry.Action.DISCARD, operator, reason, targets) as detail:
        with transaction.atomic(using=using):
            # Locked, so that nobody delivers in the meantime what the log says was discarded.
            kept = dict(rows.select_for_update().values_list("pk", "targets"))
            number = rows.filter(pk__in=kept).delete()[0]
        detail["discarded"] = list(kept.values())
    return number


def _pks(rows: QuerySet[PendingInvalidation]) -> list[int]:
    return list(rows.values_list("pk", flat=True))
