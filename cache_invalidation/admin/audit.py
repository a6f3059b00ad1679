"""What operators did by hand; nobody changes it."""

import json
from typing import Any, ClassVar

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from cache_invalidation.admin.outcomes import named
from cache_invalidation.admin.pages import ReadOnlyAdmin
from cache_invalidation.admin.recent import stamped
from cache_invalidation.models import AuditEntry


def as_json(value: Any) -> SafeString:
    """Return `value` as text that a person can read."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return format_html('<pre class="ci-code" tabindex="0">{}</pre>', text)


class AuditAdmin(ReadOnlyAdmin):
    """Every invalidation and reset by hand, from the admin, over REST, and from commands."""

    list_display = ["shown_when", "action", "what", "user", "result", "short_reason"]
    list_filter = ["action", "result", "origin", "when"]
    search_fields = ["user", "reason", "address", "targets"]
    date_hierarchy = "when"
    ordering = ["-pk"]
    fields: ClassVar[Any] = [
        *["shown_when", "action", "user", "origin", "address"],
        *["what", "reason", "result", "shown_detail"],
    ]
    readonly_fields = fields
    actions = None
    # Counting all of a long log for each page is not worth it.
    show_full_result_count = False

    @admin.display(description=_("when"), ordering="when")
    def shown_when(self, entry: AuditEntry) -> str:
        return stamped(entry.when)

    @admin.display(description=_("what"))
    def what(self, entry: AuditEntry) -> str:
        """Return what was invalidated, or which rows of the outbox it was about."""
        if (pks := entry.targets.get("pks")) is not None:
            rows = ngettext("%(count)d row on %(using)s", "%(count)d rows on %(using)s", len(pks))
            return rows % {"count": len(pks), "using": entry.targets["using"]}
        return named(entry.targets) or "-"

    @admin.display(description=_("reason"))
    def short_reason(self, entry: AuditEntry) -> str:
        return entry.reason if len(entry.reason) <= 80 else f"{entry.reason[:79]}…"

    @admin.display(description=_("detail"))
    def shown_detail(self, entry: AuditEntry) -> SafeString | str:
        found = {name: value for name, value in entry.detail.items() if value}
        return as_json(found) if found else "-"
