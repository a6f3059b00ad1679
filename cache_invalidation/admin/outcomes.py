"""How the admin says what came of an invalidation."""

from collections.abc import Mapping
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from cache_invalidation.models import AuditEntry
from cache_invalidation.operations.actions import Outcome

SHOWN: Final = 4  # names in one line; the rest is counted

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


def named(targets: Mapping[str, Any]) -> str:
    """Return the first of the tags, keys and patterns in `targets`, and how many more there are."""
    names = [name for kind in ("tags", "keys", "patterns") for name in targets.get(kind, ())]
    shown, more = ", ".join(names[:SHOWN]), len(names) - SHOWN
    if more <= 0:
        return shown
    text = ngettext("%(shown)s and %(count)d more", "%(shown)s and %(count)d more", more)
    return text % {"shown": shown, "count": more}


def tell(request: HttpRequest, outcome: Outcome, url: str | None) -> None:
    """Tell the user on the next page what came of an invalidation; `url` shows all of it."""
    names = named({kind: getattr(outcome, kind) for kind in ("tags", "keys", "patterns")})
    text = format_html(
        "{} {}", describe(outcome.result), _("It names: %s.") % (names or _("nothing"))
    )
    if url is not None:
        text = format_html('{} <a href="{}">{}</a>', text, url, _("See all of it"))
    messages.add_message(request, LEVELS[outcome.result], text)
