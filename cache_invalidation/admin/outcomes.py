"""How the admin says what came of an invalidation."""

from typing import Final

from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import gettext as _

from cache_invalidation.models import AuditEntry
from cache_invalidation.operations.actions import Outcome

LEVELS: Final = {
    AuditEntry.Result.STARTED: messages.WARNING,
    AuditEntry.Result.DONE: messages.SUCCESS,
    AuditEntry.Result.PARTLY: messages.WARNING,
    AuditEntry.Result.PENDING: messages.WARNING,
    AuditEntry.Result.FAILED: messages.ERROR,
}


def describe(result: str) -> str:
    """Return a sentence on what came of an invalidation."""
    if result == AuditEntry.Result.DONE:
        return _("It was invalidated.")
    if result == AuditEntry.Result.PARTLY:
        return _(
            "It was invalidated, but for the patterns: this cache cannot list its keys, so nothing "
            "was deleted by them."
        )
    if result == AuditEntry.Result.PENDING:
        return _(
            "The cache does not answer. The invalidation waits in the outbox. Until it is "
            "delivered, processes that have noticed the outage return no stale values of cached "
            "functions."
        )
    if result == AuditEntry.Result.FAILED:
        return _(
            "The cache does not answer, and nothing waits in the outbox: nothing was invalidated, "
            "or not everything. If tags were missed, all values of cached functions are dropped "
            "once the cache is back; plain keys stay."
        )
    return _(
        "It is under way, or was cut short. Reload the page; if that changes nothing, see the log "
        "of the site."
    )


def tell(request: HttpRequest, outcome: Outcome) -> None:
    """Tell the user what came of an invalidation, on the next page."""
    messages.add_message(request, LEVELS[outcome.result], describe(outcome.result))
