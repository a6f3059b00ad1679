"""What is known of each name that something is cached under: what it costs, what it saves, and why
it missed.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final, TypedDict

from cache_invalidation.metrics.latency import at, buckets
from cache_invalidation.metrics.waiting import SEPARATOR, Detail

WRITE: Final = "write"  # What is about a tag and not about a name.

Counts = Mapping[str, int]
Details = Mapping[Detail, int]


class Figures(TypedDict):
    """What was measured of one function, page or block, or of what one pattern tracks.

    `missed` has the misses by cause, `dropped_by` those that were ``"invalidated"`` by what dropped
    the value: kinds of tags. A value that was dropped by several counts for each.

    `computed` is how often it was computed, stored or not, in `seconds` altogether, what it has
    called included; `p50` and `p95` are upper bounds of buckets, as in `Percentiles`. `saved` is
    what its hits would have taken, by the mean; None before it was computed.

    `fills` is how often it was stored, as so many `bytes` altogether. Of one fill of eight, so many
    as `sampled_fills`, it is counted whether it is ever hit; `hit_fills` were. `compared_refills`
    took the place of a value that was still there; `equal_refills`, at least, were that very value,
    `equal_after` having been dropped by these kinds of tags.
    """

    missed: dict[str, int]
    dropped_by: dict[str, int]
    computed: int
    seconds: float
    p50: float | None
    p95: float | None
    saved: float | None
    fills: int
    bytes: int
    sampled_fills: int
    hit_fills: int
    compared_refills: int
    equal_refills: int
    equal_after: dict[str, int]


class Dropped(TypedDict):
    """How often writes of one kind have dropped a kind of tags.

    `entity_type` and `cause` are what a transaction had most of. `route` is that of the request,
    such as ``products/<int:pk>/``; "?" where the project's URLs have none, "" without a request.
    """

    tag: str
    entity_type: str
    cause: str
    route: str
    deliveries: int


def parsed(stored: Counts) -> dict[Detail, int]:
    """Return the details in a store, by their parts."""
    return {tuple(name.split(SEPARATOR)): number for name, number in stored.items()}


def figures_of(hits: Counts, missed: Mapping[str, Counts], details: Details) -> dict[str, Figures]:
    """Return the figures of each name that has `hits`, was `missed` or is in the `details`."""
    by_name: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for (kind, *about), number in details.items():
        if about and kind != WRITE:
            name, *rest = about
            by_name[name][kind][rest[0] if rest else ""] = number
    return {
        name: _figures(hits.get(name, 0), missed.get(name, {}), by_name.get(name, {}))
        for name in sorted({*hits, *missed, *by_name})
    }


def _figures(hits: int, missed: Counts, found: Mapping[str, Counts]) -> Figures:
    def number(kind: str) -> int:
        return found.get(kind, {}).get("", 0)

    took = buckets(found.get("took", {}))
    computed, seconds = sum(amount for _, amount in took), number("microseconds") / 1_000_000
    return Figures(
        missed=dict(missed),
        dropped_by=_most_first(found.get("dropped", {})),
        computed=computed,
        seconds=seconds,
        p50=at(0.5, took),
        p95=at(0.95, took),
        saved=round(hits * seconds / computed, 6) if computed else None,
        fills=number("fills"),
        bytes=number("bytes"),
        sampled_fills=number("sampled"),
        # What is hit long after it was hit last counts as hit for the first time.
        hit_fills=min(number("first_hits"), number("sampled")),
        compared_refills=number("compared"),
        equal_refills=number("equal"),
        equal_after=_most_first(found.get("equal_after", {})),
    )


def drops_of(details: Details) -> list[Dropped]:
    """Return what writes have dropped, the most frequent first."""
    return sorted(_drops(details), key=lambda drop: (-drop["deliveries"], *map(str, drop.values())))


def _drops(details: Details) -> Iterator[Dropped]:
    for (kind, *about), number in details.items():
        if kind == WRITE and len(about) == 4:
            tag, entity_type, cause, route = about
            yield Dropped(
                tag=tag, entity_type=entity_type, cause=cause, route=route, deliveries=number
            )


def _most_first(counts: Counts) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
