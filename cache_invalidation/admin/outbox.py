"""What waits to be delivered: to look at, to deliver now, and to give up on."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar
from urllib.parse import parse_qs

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ChangeList
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from cache_invalidation.admin.audit import as_json
from cache_invalidation.admin.pages import INVALIDATE, ReadOnlyAdmin, allows, operator_of
from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.models import PendingInvalidation, has_outbox
from cache_invalidation.operations.actions import discard, retry
from cache_invalidation.operations.audit import Operator

USING = "using"  # The parameter that names the database.


def databases() -> list[str]:
    """Return the aliases of the databases that have an outbox, and answer."""

    def has_one(alias: str) -> bool:
        try:
            return has_outbox(connections[alias])
        except Exception:  # noqa: BLE001 - the others are to be seen all the same
            return False

    return [alias for alias in connections if has_one(alias)]


def database_of(request: HttpRequest) -> str:
    """Return the alias of the database that the request is about: it names one, or the first."""
    known = databases()
    # A page that was reached from the list has the filters of the list in one parameter.
    kept = parse_qs(request.GET.get("_changelist_filters", "")).get(USING, [""])[0]
    named = request.GET.get(USING) or kept
    return named if named in known else (known or [DEFAULT_DB_ALIAS])[0]


class DatabaseFilter(admin.SimpleListFilter):
    """One database at a time: rows of several cannot be in one list."""

    title = gettext_lazy("database")
    parameter_name = USING

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(alias, f"{alias} ({self._count(alias)})") for alias in databases()]

    def _count(self, alias: str) -> int:
        return PendingInvalidation.objects.using(alias).count()

    def has_output(self) -> bool:
        return len(self.lookup_choices) > 1

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.using(database_of(request))

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        chosen = changelist.root_queryset.db
        for alias, label in self.lookup_choices:
            yield {
                "selected": alias == chosen,
                "query_string": changelist.get_query_string({USING: alias}),
                "display": label,
            }


Act = Callable[[Operator, list[int], str, str], str]


class OutboxAdmin(ReadOnlyAdmin):
    """Invalidations of which the cache could not be told yet."""

    list_display = ["created", "entity_type", "cause", "attempts", "next_attempt", "short_error"]
    list_filter = [DatabaseFilter, "entity_type"]
    search_fields = ["entity_type", "cause", "last_error", "targets"]
    ordering = ["pk"]
    actions = ["retry", "discard"]
    fields: ClassVar[Any] = [
        *["created", "entity_type", "cause", "entities", "shown_targets"],
        *["attempts", "next_attempt", "last_error"],
    ]
    readonly_fields = fields

    class Media:
        css = {"all": ["cache_invalidation/admin.css"]}

    def has_invalidate_cache_permission(self, request: HttpRequest) -> bool:
        """Whether the user may act, and not only look."""
        return allows(request, INVALIDATE)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).using(database_of(request))

    @admin.display(description=gettext_lazy("last error"))
    def short_error(self, row: PendingInvalidation) -> str:
        return row.last_error if len(row.last_error) <= 60 else f"{row.last_error[:59]}…"

    @admin.display(description=gettext_lazy("targets"))
    def shown_targets(self, row: PendingInvalidation) -> SafeString:
        return as_json(row.targets)

    @admin.action(
        description=gettext_lazy("Deliver selected now"), permissions=["invalidate_cache"]
    )
    def retry(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase | None:
        def act(operator: Operator, pks: list[int], using: str, reason: str) -> str:
            number = retry(operator, pks, using=using, reason=reason)
            return ngettext(
                "%(count)d invalidation was delivered.",
                "%(count)d invalidations were delivered.",
                number,
            ) % {"count": number}

        warning = _("They are delivered now, and so are others that are due.")
        return self._confirmed(request, queryset, "retry", _("Deliver now"), warning, act)

    @admin.action(description=gettext_lazy("Delete selected"), permissions=["invalidate_cache"])
    def discard(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase | None:
        def act(operator: Operator, pks: list[int], using: str, reason: str) -> str:
            number = discard(operator, pks, using=using, reason=reason)
            return ngettext(
                "%(count)d invalidation was deleted.",
                "%(count)d invalidations were deleted.",
                number,
            ) % {"count": number}

        warning = _(
            "They are never delivered then: what they name stays in the cache, stale or not. The "
            "audit log keeps what they were."
        )
        return self._confirmed(request, queryset, "discard", _("Delete"), warning, act)

    def _confirmed(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        action: str,
        title: str,
        warning: str,
        act: Act,
    ) -> HttpResponseBase | None:
        """Ask; act once that has been answered."""
        if "confirm" in request.POST:
            pks = list(queryset.values_list("pk", flat=True))
            reason = request.POST.get("reason", "")[:1000]
            try:
                done = act(operator_of(request), pks, queryset.db, reason)
                self.message_user(request, done, messages.SUCCESS)
            except CacheInvalidationError as error:
                text = _("The cache does not answer; they wait on (%(error)s).")
                self.message_user(request, text % {"error": error}, messages.ERROR)
            return None
        selected = request.POST.getlist(ACTION_CHECKBOX_NAME)
        across = request.POST.get("select_across") == "1"
        return self.render(
            request,
            "confirm_outbox.html",
            title,
            warning=warning,
            action=action,
            across=across,
            selected=selected[:1] if across else selected,
            checkbox=ACTION_CHECKBOX_NAME,
            count=queryset.count(),
            rows=queryset[:100],
            database=queryset.db,
            back=f"{self.url_of('pendinginvalidation_changelist')}?"
            + urlencode({USING: queryset.db}),
        )
