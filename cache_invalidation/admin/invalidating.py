"""Invalidating by hand: say what, look at what would go, confirm, see what came of it."""

import logging
from uuid import uuid4

from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern
from django.utils.translation import gettext as _

from cache_invalidation.admin.forms import InvalidateForm
from cache_invalidation.admin.outcomes import describe
from cache_invalidation.admin.pages import INVALIDATE, VIEW, PageAdmin, allows, operator_of, require
from cache_invalidation.explain.known import Known
from cache_invalidation.explain.readers import dependent_on
from cache_invalidation.models import AuditEntry
from cache_invalidation.operations.actions import (
    Outcome,
    Request,
    by_rule,
    invalidate,
    outcome_of,
    preview,
)
from cache_invalidation.operations.audit import AlreadyDone
from cache_invalidation.reads.spelling import dotted_name
from cache_invalidation.rules.registry import registry
from cache_invalidation.tags import ROOT

logger = logging.getLogger("cache_invalidation")


class InvalidateAdmin(PageAdmin):
    """A form, a preview that touches nothing, and the result."""

    permissions = (INVALIDATE,)

    def page(self, request: HttpRequest) -> HttpResponseBase:
        if request.method != "POST":
            # A link may fill in the form; nothing happens before it is sent.
            return self._form(request, InvalidateForm(initial=request.GET.dict()))
        form = InvalidateForm(request.POST)
        if not form.is_valid() or "edit" in request.POST:
            return self._form(request, form)
        try:
            if "confirm" in request.POST:
                return self._invalidate(request, form)
            return self._preview(request, form)
        except Exception as error:
            # A subscriber is code of the project, and the payload is what somebody typed in.
            if not form.request.events:
                raise
            logger.warning("A subscriber raised %r for an event that was typed in.", error)
            text = _("A subscriber cannot cope with it (%(error)s).")
            form.add_error("events", text % {"error": f"{type(error).__name__}: {error}"})
            return self._form(request, form)

    def _form(self, request: HttpRequest, form: InvalidateForm) -> HttpResponseBase:
        events = sorted({name for name, _ in registry.subscribers})
        return self.render(
            request, "invalidate.html", _("Invalidate the cache"), form=form, events=events
        )

    def _preview(self, request: HttpRequest, form: InvalidateForm) -> HttpResponseBase:
        outcome = preview(form.request)
        return self.render(
            request,
            "preview.html",
            _("Preview: what would be invalidated"),
            form=form,
            # The same confirmation, sent twice by a double click, is carried out once.
            token=uuid4().hex,
            asked=form.request,
            outcome=outcome,
            dependent=[]
            if ROOT in outcome.tags
            else dependent_on(outcome.tags, Known(), outcome.keys, outcome.patterns),
            missing=_missing(form.request),
            effects=by_rule(form.request),
            subscribers=_subscribers(form.request),
        )

    def _invalidate(self, request: HttpRequest, form: InvalidateForm) -> HttpResponseBase:
        reason, operator = form.cleaned_data["reason"], operator_of(request)
        token = request.POST.get("token", "")[:64] or None
        try:
            outcome = invalidate(form.request, operator, reason=reason, idempotency_key=token)
        except AlreadyDone as error:
            return self._to_result(error.entry.pk)
        if outcome.audit is not None:
            return self._to_result(outcome.audit)
        # The audit log cannot be written, so there is no page to go to.
        return self._result(request, None, outcome, reason)

    def _to_result(self, pk: int) -> HttpResponseBase:
        return HttpResponseRedirect(self.url_of("invalidate_result", pk))

    def result(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Show what came of an invalidation; only its own to a user who may not see the log."""
        require(request, INVALIDATE)
        entries = AuditEntry.objects.filter(action=AuditEntry.Action.INVALIDATE)
        if not allows(request, VIEW):
            entries = entries.filter(user_key=str(request.user.pk))
        entry = entries.filter(pk=pk).first()
        if entry is None:
            raise Http404
        return self._result(request, entry, outcome_of(entry), entry.reason)

    def _result(
        self, request: HttpRequest, entry: AuditEntry | None, outcome: Outcome, reason: str
    ) -> HttpResponseBase:
        return self.render(
            request,
            "result.html",
            _("Result of the invalidation"),
            entry=entry,
            result=outcome.result,
            targets=outcome,
            unread=outcome.unread,
            reason=reason,
            sentence=describe(outcome.result),
        )

    def get_urls(self) -> list[URLPattern]:
        return [*super().get_urls(), self.url("<int:pk>/", self.result, "invalidate_result")]


def _missing(request: Request) -> list[str]:
    """Return the rows that were named and not found, as they were named."""
    return [
        f"{change.model._meta.label_lower}:{change.pk}"
        for change in request.changes
        if change.pk is not None and change.new is None
    ]


def _subscribers(request: Request) -> list[tuple[str, list[str]]]:
    """Return who is asked about each event, by dotted name."""
    return [
        (event.name, [dotted_name(found) for found in registry.subscribers_of(event.name)])
        for event in request.events
    ]
