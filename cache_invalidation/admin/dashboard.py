"""What the cache is doing; also while it does nothing."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern
from django.utils.translation import gettext as _

from cache_invalidation.admin import charts
from cache_invalidation.admin.causes import CAUSES
from cache_invalidation.admin.charts import PERIODS, read_points
from cache_invalidation.admin.numbers import NOTHING, duration, number, percent
from cache_invalidation.admin.pages import (
    DRAWN,
    RESET,
    VIEW,
    PageAdmin,
    allows,
    operator_of,
    require,
)
from cache_invalidation.admin.recent import shown, since_words, spelled
from cache_invalidation.admin.tiles import (
    Sums,
    cache_tile,
    failed_tile,
    near_tiles,
    outbox_tile,
    saving_tiles,
    stale_tile,
)
from cache_invalidation.admin.verdict import verdict
from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.metrics.report import read_metrics, read_recent, store_state
from cache_invalidation.metrics.shapes import Metrics, Rates, StoreState
from cache_invalidation.models import backlog
from cache_invalidation.operations.actions import reset
from cache_invalidation.operations.entities import is_of_rows
from cache_invalidation.stores.messages import RECENT

LISTED: Final = 50  # of the last invalidations, unless somebody wants more
TOP: Final = 10  # entity types and functions that are listed


class DashboardAdmin(PageAdmin):
    """Charts and counters, the state of the cache, and the button that resets the counters."""

    permissions = (VIEW, RESET)

    media = DRAWN

    def page(self, request: HttpRequest) -> HttpResponseBase:
        overview = _overview(self, request.GET) if allows(request, VIEW) else {}
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


def _overview(page: DashboardAdmin, query: Mapping[str, str]) -> dict[str, Any]:
    chosen = PERIODS.get(query.get("period", ""), PERIODS["hour"])
    found: dict[str, Any] = {"periods": PERIODS.values(), "period": chosen}
    metrics, sums = None, None
    try:
        metrics = read_metrics()
        points = read_points(chosen)
        sums = Sums.of(points, chosen)
        wanted = _wanted(query.get("recent", ""))
        recent = read_recent(wanted)
        since = since_words(metrics)
        found |= {
            "metrics": metrics,
            "since": since,
            "failures": charts.failures(points) if sums.failed else None,
            "saving": saving_tiles(metrics, sums, since),
            "near": near_tiles(metrics, sums),
            "hit_rate": charts.hit_rate(points),
            "misses": charts.misses(points),
            "charts": [charts.invalidations(points), charts.latency(points)],
            "recent": [shown(entry) for entry in recent],
            "more_recent": RECENT if len(recent) == wanted < RECENT else None,
            "most_invalidated": _most_invalidated(page, metrics),
            "least_hit": _least_hit(metrics),
            "costs": _costs(metrics),
            "not_stored": _most(metrics["not_stored"]),
            "stored": _most(metrics["stored"]),
        }
    except CacheInvalidationError as error:
        found["error"] = error
    # Afterwards: this may have been what found out that the cache does not answer.
    state, waiting = _state(), backlog()
    outbox = page.url_of("pendinginvalidation_changelist")
    working = [cache_tile(state, spelled(state["since"])), outbox_tile(waiting, outbox)]
    if metrics is not None and sums is not None:
        working += [failed_tile(sums), stale_tile(metrics, found["since"])]
    return found | {"working": working, "verdict": verdict(state, waiting, metrics, sums)}


def _most(counts: Mapping[str, Mapping[str, int]]) -> list[tuple[str, str, str]]:
    """Return the names, and what was counted of them, that were counted most often."""
    found = [
        (name, detail, times)
        for name, details in counts.items()
        for detail, times in details.items()
    ]
    found.sort(key=lambda each: -each[2])
    return [(name, detail, number(times)) for name, detail, times in found[:TOP]]


def _most_invalidated(page: DashboardAdmin, metrics: Metrics) -> list[tuple[str, str, str]]:
    """Return the entity types, where each leads to, and how often something of it went."""

    def url(name: str) -> str:
        return page.url_of("registry_changelist", q=name) if is_of_rows(name) else ""

    found = Counter(metrics["invalidations_by_entity_type"]).most_common(TOP)
    return [(name, url(name), number(count)) for name, count in found]


def _state() -> StoreState:
    try:
        return store_state()
    except CacheInvalidationError as error:  # There is no such cache.
        return StoreState(alias="", state="unusable", since=None, reason=str(error), outages=0)


def _wanted(text: str) -> int:
    """Return how many of the last invalidations are to be listed."""
    try:
        wanted = int(text)
    except ValueError:
        return LISTED
    return min(wanted, RECENT) if wanted > 0 else LISTED


def _least_hit(metrics: Metrics) -> list[tuple[str, str, str, str]]:
    rated = [item for item in metrics["functions"].items() if item[1]["hit_rate"] is not None]
    found = sorted(rated, key=lambda item: item[1]["hit_rate"] or 0)[:TOP]
    return [
        (name, _hit_rate(rates), number(rates["hits"]), number(rates["misses"]))
        for name, rates in found
    ]


def _costs(metrics: Metrics) -> list[dict[str, Any]]:
    """Return what is shown of those that took most seconds to compute."""
    found = sorted(metrics["figures"].items(), key=lambda pair: (-pair[1]["seconds"], pair[0]))
    return [
        {
            "name": name,
            "spent": duration(figures["seconds"]),
            "saved": duration(figures["saved"]),
            "p95": duration(figures["p95"]),
            "hit_rate": _hit_rate(metrics["functions"].get(name)),
            "missed": _missed(figures["missed"]),
            "dropped_by": _first(figures["dropped_by"]),
            "equal": figures["equal_refills"],
            "compared": figures["compared_refills"],
        }
        for name, figures in found[:TOP]
        if figures["computed"]
    ]


def _hit_rate(rates: Rates | None) -> str:
    return percent(rates["hits"], rates["hits"] + rates["misses"]) if rates else NOTHING


def _missed(counts: Mapping[str, int]) -> tuple[str, int] | None:
    """Return why it was missed most often, in words, and how often."""
    found = _first(counts)
    return found and (str(CAUSES[found[0]].name) if found[0] in CAUSES else found[0], found[1])


def _first(counts: Mapping[str, int]) -> tuple[str, int] | None:
    """Return what was counted most often, and how often."""
    return max(counts.items(), key=lambda pair: pair[1], default=None)
