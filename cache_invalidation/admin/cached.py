"""All that is known of one function, page or block, or of one tag."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

from cache_invalidation.admin import charts
from cache_invalidation.admin.causes import CAUSES
from cache_invalidation.admin.charts import PERIODS, read_points
from cache_invalidation.admin.graph import CachedNode, Graph, ModelNode, RuleNode, graph
from cache_invalidation.admin.numbers import number, percent
from cache_invalidation.admin.recent import shown, since_words
from cache_invalidation.admin.tiles import Sums, name_tiles, near_tiles
from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.explain.known import split
from cache_invalidation.explain.readers import depends_on, reads
from cache_invalidation.metrics.figures import Dropped, Figures
from cache_invalidation.metrics.labels import label
from cache_invalidation.metrics.report import read_metrics, read_recent
from cache_invalidation.metrics.shapes import Delivered, Metrics
from cache_invalidation.operations.rechecks import checkable
from cache_invalidation.stores.messages import RECENT
from cache_invalidation.surfaces.tracked.names import names_for

LISTED: Final = 10  # of the last invalidations that hit it


class Dropping(NamedTuple):
    """A kind of tags, the misses and the equal refills after it was dropped, and what drops it."""

    tag: str
    misses: str
    equal: str
    writes: list[Dropped]


def about(name: str, query: Mapping[str, str]) -> dict[str, Any] | None:
    """Return what the page of `name`, as in the metrics, shows; None if nothing is called so."""
    chosen = PERIODS.get(query.get("period", ""), PERIODS["hour"])
    known = graph()
    node = next((node for node in _cached(known) if node.name == name), None)
    found: dict[str, Any] = {"periods": PERIODS.values(), "period": chosen, "node": node}
    if node is None:
        return None
    found["is_checkable"] = name in checkable()
    try:
        metrics = read_metrics()
        points = read_points(chosen, name)
        sums = Sums.of(points, chosen)
        since = since_words(metrics)
        is_known = node.entry.get("loaded", True)
        timeout = node.entry.get("timeout", "") if is_known else ""
        figures = metrics["figures"].get(name)
        return found | {
            "since": since,
            "tiles": name_tiles(metrics, name, sums, timeout),
            "near": near_tiles(metrics, sums, name),
            "charts": [charts.hit_rate(points), charts.misses(points)],
            "causes": _causes(figures["missed"]) if figures else [],
            "droppings": _droppings(figures, metrics) if figures else [],
            "not_stored": [
                (why, number(times)) for why, times in metrics["not_stored"].get(name, {}).items()
            ],
            "recent": [shown(entry) for entry in islice(_hitting(node), LISTED)],
        }
    except CacheInvalidationError as error:
        return found | {"error": error}


def about_tag(tag: str) -> dict[str, Any]:
    """Return who reads `tag`, which rules name it, and which writes have dropped it."""
    known = graph()
    found: dict[str, Any] = {
        "readers": [n for n in _cached(known) if _is_dropped(n, tag)],
        "writers": [(model, rules) for model in known.models if (rules := _naming(model, tag))],
        # What has a place for a value in it is a kind of tags, and none.
        "is_kind": "{" in tag,
    }
    try:
        dropped = read_metrics()["dropped"]
    except CacheInvalidationError as error:
        return found | {"error": error}
    return found | {"writes": [drop for drop in dropped if _is_kind_of(drop["tag"], tag)]}


def _cached(known: Graph) -> list[CachedNode]:
    return [*known.functions, *known.pages, *known.blocks]


def _is_dropped(node: CachedNode, tag: str) -> bool:
    return depends_on(*split(node.name), entry=node.entry, dropped=tag)


def _naming(model: ModelNode, tag: str) -> list[RuleNode]:
    """Return the rules of `model` that name `tag`, for some row."""
    return [
        rule
        for rule in model.rules
        if any(each.kind == "tag" and reads({"found": [tag]}, each.name) for each in rule.targets)
    ]


def _is_kind_of(kind: str, tag: str) -> bool:
    return kind in (tag, label(tag)) or reads({"found": [tag]}, kind)


def _causes(missed: Mapping[str, int]) -> list[dict[str, Any]]:
    total = sum(missed.values())
    return [
        {"cause": CAUSES[cause], "number": number(times), "share": percent(times, total)}
        for cause, times in sorted(missed.items(), key=lambda pair: -pair[1])
        if cause in CAUSES
    ]


def _droppings(figures: Figures, metrics: Metrics) -> list[Dropping]:
    return [
        Dropping(
            tag=tag,
            misses=number(misses),
            equal=number(figures["equal_after"].get(tag, 0)),
            writes=[drop for drop in metrics["dropped"] if drop["tag"] == tag][:LISTED],
        )
        for tag, misses in figures["dropped_by"].items()
    ]


def _hitting(node: CachedNode) -> Iterator[Delivered]:
    """Yield the last invalidations that may have dropped an entry of `node`, the newest first."""

    def is_hit(entry: Delivered) -> bool:
        targets = entry["targets"]
        if node.name in names_for(targets.get("keys", ()), targets.get("patterns", ())):
            return True
        return any(_is_dropped(node, tag) for tag in targets.get("tags", ()))

    return filter(is_hit, read_recent(RECENT))
