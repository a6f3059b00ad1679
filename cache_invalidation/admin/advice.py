"""What to change, with the evidence and what to write."""

from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import gettext as _

from cache_invalidation.admin.pages import PageAdmin
from cache_invalidation.advice.advising import read_advice
from cache_invalidation.advice.findings import Finding
from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.metrics.figures import short


class AdviceAdmin(PageAdmin):
    """The findings, what saves most first."""

    class Media:
        css = {"all": ["cache_invalidation/admin.css"]}

    def page(self, request: HttpRequest) -> HttpResponseBase:
        found: dict[str, Any]
        try:
            advice = read_advice()
        except CacheInvalidationError as error:
            found = {"error": error}
        else:
            found = {"advice": advice, "findings": [_shown(each) for each in advice["findings"]]}
        return self.render(request, "advice.html", _("What to change"), **found)


def _shown(finding: Finding) -> dict[str, Any]:
    return {
        **finding,
        "saved": short(finding["seconds"]),
        "now": _percent(finding["hit_rate"]),
        "expected": _percent(finding["expected_hit_rate"]),
        "figures": [
            (name.replace("_", " "), f"{number:,.6g}")
            for name, number in finding["evidence"].items()
        ],
    }


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
