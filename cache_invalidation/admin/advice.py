"""What to change, with the evidence and what to write."""

from typing import Any, Final

from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import gettext as _

from cache_invalidation.admin.numbers import NOTHING, duration, number, percent
from cache_invalidation.admin.pages import PageAdmin
from cache_invalidation.admin.recent import since_words
from cache_invalidation.advice.advising import read_advice
from cache_invalidation.advice.findings import IN_SECONDS, Finding, Kind
from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.metrics.report import read_metrics

# What these are about is a model or a rule, which the registry knows.
REGISTERED: Final[frozenset[Kind]] = frozenset(
    {"track", "volatile", "fields", "families", "exclude"}
)


class AdviceAdmin(PageAdmin):
    """The findings, what saves most first."""

    def page(self, request: HttpRequest) -> HttpResponseBase:
        found: dict[str, Any]
        try:
            advice, since = read_advice(), since_words(read_metrics())
        except CacheInvalidationError as error:
            found = {"error": error}
        else:
            found = {
                "advice": advice,
                "reads": number(advice["reads"]),
                "since": since,
                "findings": [
                    _shown(each) | {"url": self._url(each)} for each in advice["findings"]
                ],
            }
        return self.render(request, "advice.html", _("What to change"), **found)

    def _url(self, finding: Finding) -> str:
        """Return where all is said of what is to be changed; an empty text for settings."""
        name = finding["name"]
        if name in finding["readers"]:
            return self.url_of("registry_name", name=name)
        if finding["kind"] == "manual":
            return self.url_of("registry_tag", tag=name)
        return self.url_of("registry_changelist", q=name) if finding["kind"] in REGISTERED else ""


def _shown(finding: Finding) -> dict[str, Any]:
    return {
        **finding,
        "saved": duration(finding["seconds"]),
        "now": _percent(finding["hit_rate"]),
        "expected": _percent(finding["expected_hit_rate"]),
        "others": [name for name in finding["readers"] if name != finding["name"]],
        "figures": [
            (name.replace("_", " "), duration(value) if name in IN_SECONDS else number(value))
            for name, value in finding["evidence"].items()
        ],
    }


def _percent(share: float | None) -> str:
    return NOTHING if share is None else percent(share, 1)
