"""What the cache is doing; also while it does nothing."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from django.contrib import messages
from django.forms.widgets import Script
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern
from django.utils import timezone
from django.utils.translation import gettext as _

from cache_invalidation.admin.charts import PERIODS, charts
from cache_invalidation.admin.pages import RESET, VIEW, PageAdmin, allows, operator_of, require
from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.metrics.figures import short
from cache_invalidation.metrics.report import (
    Delivered,
    Metrics,
    Rates,
    StoreState,
    read_metrics,
    read_recent,
    store_state,
)
from cache_invalidation.models import backlog
from cache_invalidation.operations.actions import reset
from cache_invalidation.stores.messages import RECENT

LISTED: Final = 50  # of the last invalidations, unless somebody wants more
TOP: Final = 10  # entity types and functions that are listed


class DashboardAdmin(PageAdmin):
    """Charts and counters, the state of the cache, and the button that resets the counters."""

    permissions = (VIEW, RESET)

    class Media:
        css = {
            "all": [
                "cache_invalidation/uplot/uPlot.min.css",
                "cache_invalidation/admin.css",
            ]
        }
        js = [
            Script("cache_invalidation/uplot/uPlot.iife.min.js", defer=True),
            Script("cache_invalidation/dashboard.js", defer=True),
        ]

    def page(self, request: HttpRequest) -> HttpResponseBase:
        overview = _overview(request.GET) if allows(request, VIEW) else {}
        return self.render(request, "dashboard.html", _("Cache dashboard"), **overview)

    def reset(self, request: HttpRequest) -> HttpResponseBase:
        """Ask, then set the counters to zero."""
        require(request, RESET)
        if request.method != "POST":
            return self.render(request, "reset.html", _("Reset the metrics"))
        try:
            reset(operator_of(request), reason=request.POST.get("reason", "")[:1000])
        except CacheInvalidationError as error:
            text = _("The cache does not answer, so nothing was reset (%(error)s).")
            messages.error(request, text % {"error": error})
        else:
            messages.success(request, _("All counters are zero."))
        return HttpResponseRedirect(self.url_of("dashboard_changelist"))

    def get_urls(self) -> list[URLPattern]:
        return [*super().get_urls(), self.url("reset/", self.reset, "dashboard_reset")]


def _overview(query: Mapping[str, str]) -> dict[str, Any]:
    chosen = PERIODS.get(query.get("period", ""), PERIODS["hour"])
    found: dict[str, Any] = {"periods": PERIODS.values(), "period": chosen}
    try:
        metrics = read_metrics()
        number = _number(query.get("recent", ""))
        recent = read_recent(number)
        found |= {
            "metrics": metrics,
            "since": _time(metrics["since"]),
            "charts": charts(chosen),
            "recent": [_shown(entry) for entry in recent],
            "more_recent": RECENT if len(recent) == number < RECENT else None,
            "most_invalidated": Counter(metrics["invalidations_by_entity_type"]).most_common(TOP),
            "least_hit": _least_hit(metrics),
            "costs": _costs(metrics),
            "not_stored": _most(metrics["not_stored"]),
            "stored": _most(metrics["stored"]),
        }
    except CacheInvalidationError as error:
        found["error"] = error
    # Afterwards: this may have been what found out that the cache does not answer.
    state = _state()
    return found | {
        "state": state,
        "state_since": _time(state["since"]),
        "backlog": backlog(),
    }


def _most(counts: Mapping[str, Mapping[str, int]]) -> list[tuple[str, str, int]]:
    """Return the names, and what was counted of them, that were counted most often."""
    found = [
        (name, detail, number)
        for name, details in counts.items()
        for detail, number in details.items()
    ]
    return sorted(found, key=lambda each: -each[2])[:TOP]


def _state() -> StoreState:
    try:
        return store_state()
    except CacheInvalidationError as error:  # There is no such cache.
        return StoreState(alias="", state="unusable", since=None, reason=str(error), outages=0)


def _number(text: str) -> int:
    """Return how many of the last invalidations are to be listed."""
    try:
        number = int(text)
    except ValueError:
        return LISTED
    return min(number, RECENT) if number > 0 else LISTED


def _shown(entry: Delivered) -> dict[str, Any]:
    # Entries from before there were sizes are taken for complete.
    sizes = entry.get("sizes", {})
    return {
        **entry,
        "when": _time(entry["when"]),
        "milliseconds": 1000 * entry["latency"],
        "named": [
            (kind, names, max(0, sizes.get(kind, 0) - len(names)))
            for kind, names in entry["targets"].items()
        ],
    }


def _least_hit(metrics: Metrics) -> list[tuple[str, Rates, float]]:
    def rated() -> Iterator[tuple[str, Rates, float]]:
        for name, rates in metrics["functions"].items():
            if rates["hit_rate"] is not None:
                yield name, rates, 100 * rates["hit_rate"]

    return sorted(rated(), key=lambda item: item[2])[:TOP]


def _costs(metrics: Metrics) -> list[dict[str, Any]]:
    """Return what is shown of those that took most seconds to compute."""
    found = sorted(metrics["figures"].items(), key=lambda pair: (-pair[1]["seconds"], pair[0]))
    return [
        {
            "name": name,
            "spent": short(figures["seconds"]),
            "saved": short(figures["saved"]),
            "p95": short(figures["p95"]),
            "missed": _first(figures["missed"]),
            "dropped_by": _first(figures["dropped_by"]),
            "equal": figures["equal_refills"],
            "compared": figures["compared_refills"],
        }
        for name, figures in found[:TOP]
        if figures["computed"]
    ]


def _first(counts: Mapping[str, int]) -> tuple[str, int] | None:
    """Return what was counted most often, and how often."""
    return max(counts.items(), key=lambda pair: pair[1], default=None)


def _time(text: str | None) -> datetime | None:
    if not text:
        return None
    return datetime.fromisoformat(text).astimezone(timezone.get_current_timezone())
