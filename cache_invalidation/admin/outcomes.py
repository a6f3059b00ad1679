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
    AuditEntry.Result.PENDING: messages.WARNING,
    AuditEntry.Result.FAILED: messages.ERROR,
}


def describe(result: str) -> str:
    """Return a sentence on what came of an invalidation."""
    if result == AuditEntry.Result.DONE:
        return _("It was invalidated.")
    if result == AuditEntry.Result.PENDING:
        return _(
            "The cache does not answer. The invalidation waits in the outbox, and is delivered "
            "before anybody reads from the cache again."
        )
    if result == AuditEntry.Result.FAILED:
        return _(
            "The cache does not answer, and there is no outbox to wait in: nothing was "
            "invalidated. Once the cache is back, everything in it is dropped."
        )
    return _("It was begun, but nobody wrote down how it ended: see the log of the site.")


def tell(request: HttpRequest, outcome: Outcome) -> None:
    """Tell the user what came of an invalidation, on the next page."""
    messages.add_message(request, LEVELS[outcome.result], describe(outcome.result))
