"""What waits to be delivered: to look at, to deliver now, and to give up on."""

from collections.abc import Callable
from typing import Any, ClassVar, Final

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from cache_invalidation.admin.databases import (
    USING,
    DatabaseFilter,
    database_of,
    outboxes,
    why_unseen,
)
from cache_invalidation.admin.pages import INVALIDATE, ReadOnlyAdmin, allows, operator_of, require
from cache_invalidation.admin.recent import stamped
from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.models import PendingInvalidation
from cache_invalidation.operations.audit import Operator
from cache_invalidation.operations.outbox import discard, retry

# Rows that one request acts on: it lasts only so long, and they are all in one audit entry.
MOST: Final = 1000

Act = Callable[[Operator, list[int], str, str], None]


class OutboxAdmin(ReadOnlyAdmin):
    """Invalidations of which the cache could not be told yet."""

    list_display = ["shown_created", "what", "short_error", "shown_attempts", "shown_next"]
    list_filter = [DatabaseFilter, "entity_type"]
    search_fields = ["entity_type", "cause", "last_error", "targets"]
    ordering = ["pk"]
    actions = ["retry", "discard"]
    fields: ClassVar[Any] = [
        *["shown_created", "entity_type", "cause", "shown_entities"],
        *["attempts", "shown_next", "last_error"],
    ]
    readonly_fields = fields

    def has_invalidate_cache_permission(self, request: HttpRequest) -> bool:
        """Whether the user may act, and not only look."""
        return allows(request, INVALIDATE)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return self._unseen(request) or super().changelist_view(request, extra_context)

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._unseen(request) or super().change_view(request, *args, **kwargs)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        # What can be done to rows in the list, to this one.
        context |= {"acts": self.get_action_choices(request, []), "using": database_of(request)}
        return super().render_change_form(request, context, *args, **kwargs)

    def _unseen(self, request: HttpRequest) -> HttpResponse | None:
        """Return a page that says why there is no list, if so; with a way to other databases."""
        require(request, *self.permissions)
        using = database_of(request)
        if not (sentence := why_unseen(using)):
            return None
        others = [(alias, waiting) for alias, waiting in outboxes() if alias != using]
        title = capfirst(self.opts.verbose_name_plural)
        return self.render(request, "no_outbox.html", title, sentence=sentence, others=others)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).using(database_of(request))

    @admin.display(description=gettext_lazy("what"), ordering="entity_type")
    def what(self, row: PendingInvalidation) -> str:
        return f"{row.entity_type or '-'} ({row.cause or '-'})"

    @admin.display(description=gettext_lazy("last error"))
    def short_error(self, row: PendingInvalidation) -> str:
        return row.last_error if len(row.last_error) <= 60 else f"{row.last_error[:59]}…"

    @admin.display(description=gettext_lazy("created"), ordering="created")
    def shown_created(self, row: PendingInvalidation) -> str:
        return stamped(row.created)

    @admin.display(description=gettext_lazy("attempts"), ordering="attempts")
    def shown_attempts(self, row: PendingInvalidation) -> str:
        return _labelled(_("Attempts"), row.attempts)

    @admin.display(description=gettext_lazy("next attempt"), ordering="next_attempt")
    def shown_next(self, row: PendingInvalidation) -> str:
        return _labelled(_("Next attempt"), stamped(row.next_attempt))

    @admin.display(description=gettext_lazy("entities"))
    def shown_entities(self, row: PendingInvalidation) -> str:
        return ", ".join(f"{name}: {number}" for name, number in row.entities.items()) or "-"

    @admin.action(description=gettext_lazy("Deliver now…"), permissions=["invalidate_cache"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase | None:
        def act(operator: Operator, pks: list[int], using: str, reason: str) -> None:
            number = retry(operator, pks, using=using, reason=reason)
            left = PendingInvalidation.objects.using(using).filter(pk__in=pks)
            self._tell_delivered(request, number, left)

        about = _("Once you confirm, what is selected is delivered, due or not.")
        return self._confirmed(request, queryset, "retry", _("Deliver now"), about, act)

    def _tell_delivered(
        self, request: HttpRequest, number: int, left: QuerySet[PendingInvalidation]
    ) -> None:
        """Say how many were delivered, and why those that are `left` were not."""
        errors = list(left.values_list("last_error", flat=True))
        if number or not errors:
            text = ngettext(
                "%(count)d invalidation was delivered.",
                "%(count)d invalidations were delivered.",
                number,
            )
            level = messages.SUCCESS if number else messages.INFO
            self.message_user(request, text % {"count": number}, level)
        if errors:
            text = ngettext(
                "%(count)d that was selected waits on (%(error)s).",
                "%(count)d that were selected wait on (%(error)s).",
                len(errors),
            )
            error = next(filter(None, errors), _("somebody else is delivering it"))
            about = {"count": len(errors), "error": error}
            self.message_user(request, text % about, messages.WARNING)

    @admin.action(description=gettext_lazy("Delete…"), permissions=["invalidate_cache"])
    def discard(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase | None:
        def act(operator: Operator, pks: list[int], using: str, reason: str) -> None:
            number = discard(operator, pks, using=using, reason=reason)
            text = ngettext(
                "%(count)d invalidation was deleted.",
                "%(count)d invalidations were deleted.",
                number,
            )
            self.message_user(request, text % {"count": number}, messages.SUCCESS)

        about = _(
            "What is deleted is never delivered: what it names stays in the cache, stale or not. "
            "The audit log keeps what it was."
        )
        return self._confirmed(request, queryset, "discard", _("Delete"), about, act)

    def _confirmed(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        action: str,
        title: str,
        about: str,
        act: Act,
    ) -> HttpResponseBase | None:
        """Ask; act once that has been answered, on the first of the rows if they are too many."""
        if "confirm" in request.POST:
            pks = list(queryset.values_list("pk", flat=True)[:MOST])
            reason = request.POST.get("reason", "")[:1000]
            try:
                act(operator_of(request), pks, queryset.db, reason)
            except CacheInvalidationError as error:
                text = _("The cache does not answer; they wait on (%(error)s).")
                self.message_user(request, text % {"error": error}, messages.ERROR)
            return None
        selected = request.POST.getlist(ACTION_CHECKBOX_NAME)
        across = request.POST.get("select_across") == "1"
        number = queryset.count()
        return self.render(
            request,
            "confirm_outbox.html",
            title,
            about=about,
            action=action,
            across=across,
            selected=selected[:1] if across else selected,
            checkbox=ACTION_CHECKBOX_NAME,
            count=min(number, MOST),
            more=max(0, number - MOST),
            rows=queryset[:100],
            database=queryset.db,
            back=self.url_of("pendinginvalidation_changelist", **{USING: queryset.db}),
        )


def _labelled(label: str, value: object) -> str:
    """Return the value, with a label where the head of the table is not shown for want of room."""
    return format_html('<span class="ci-label">{}: </span>{}', label, value)
