"""The log of what operators do: written before it is done, and again with what came of it."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, IntegrityError, router, transaction

from cache_invalidation.connections import shielded
from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.models import AuditEntry

logger = logging.getLogger("cache_invalidation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Who does it, and from where. `key` is the primary key of a user of the site, as text."""

    name: str
    key: str = ""
    origin: AuditEntry.Origin
    address: str = ""


class AlreadyDone(CacheInvalidationError):
    """A request was made before under the same idempotency key; `entry` tells of it.

    `is_same` tells whether it named the same, for the same reason.
    """

    def __init__(self, entry: AuditEntry, *, is_same: bool) -> None:
        super().__init__("A request with this idempotency key was made before.")
        self.entry = entry
        self.is_same = is_same


@contextmanager
def audited(
    action: AuditEntry.Action, operator: Operator, reason: str, targets: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Write an entry about the block, which fills in the detail of what came of it."""
    entry = begin(action, operator, reason, targets)
    detail: dict[str, Any] = {}
    try:
        yield detail
    except Exception as error:
        end(entry, AuditEntry.Result.FAILED, {"error": f"{type(error).__name__}: {error}"})
        raise
    end(entry, AuditEntry.Result.DONE, detail)


def begin(
    action: AuditEntry.Action,
    operator: Operator,
    reason: str,
    targets: Mapping[str, Any],
    once: tuple[str, str] | None = None,
) -> AuditEntry | None:
    """Write an entry; None if that fails, since what an operator does must not depend on it.

    What is done `once` has an idempotency key, and the digest of the request.
    """
    idempotency_key, digest = (_storable(once[0]), once[1]) if once else (None, "")
    reason = _storable(reason)
    entry = AuditEntry(
        action=action,
        user=_storable(operator.name)[:250],
        user_key=operator.key[:64],
        origin=operator.origin,
        address=_storable(operator.address)[:250],
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


def _storable(text: str) -> str:
    """Return `text` without what no database takes: what somebody types in must not hide it."""
    return text.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def end(entry: AuditEntry | None, result: AuditEntry.Result, detail: Mapping[str, Any]) -> None:
    """Write into `entry`, if there is one, what came of it."""
    if entry is None:
        return
    entry.result, entry.detail = result, {**entry.detail, **detail}
    try:
        with shielded(entry._state.db or DEFAULT_DB_ALIAS):
            entry.save(update_fields=["result", "detail"])
    except Exception:
        logger.exception("The result of %s cannot be written into the audit log.", entry)
