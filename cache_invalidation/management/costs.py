"""What functions, pages and blocks cost and save, as text that fits a terminal."""

from collections.abc import Iterator, Mapping
from typing import Final

from cache_invalidation.metrics.durations import duration
from cache_invalidation.metrics.figures import Figures
from cache_invalidation.metrics.shapes import Metrics, Rates, Waited

ROWS: Final = 20  # of the table, those that took most seconds

_NAME: Final = 32  # characters, before the columns
_COLUMNS: Final = ("hits", "p50", "p95", "spent", "saved", "equal")


def table(metrics: Metrics) -> Iterator[str]:
    """Return the lines of a table of those that took longest to compute, in all."""
    by_cost = sorted(metrics["figures"].items(), key=lambda pair: (-pair[1]["seconds"], pair[0]))
    yield f"{'  costs':<{_NAME}}" + "".join(f"{column:>8}" for column in _COLUMNS)
    for name, found in by_cost[:ROWS]:
        yield from _row(name, metrics["functions"].get(name), found)
    if len(by_cost) > ROWS:
        yield f"    and {len(by_cost) - ROWS} more, which took less: --format json has them all"


def _row(name: str, rates: Rates | None, found: Figures) -> Iterator[str]:
    cells = (
        percent(rates["hit_rate"] if rates else None),
        duration(found["p50"]),
        duration(found["p95"]),
        duration(found["seconds"]),
        duration(found["saved"]),
        percent(_share(found["equal_refills"], found["compared_refills"])),
    )
    start = f"    {name}"
    if len(start) >= _NAME:
        yield start
        start = ""
    yield f"{start:<{_NAME}}" + "".join(f"{cell:>8}" for cell in cells)


def about(name: str, metrics: Metrics) -> Iterator[str]:
    """Return the lines that say all that is known of `name`, one of the figures."""
    found, rates = metrics["figures"][name], metrics["functions"].get(name)
    yield f"  {name}"
    if rates is not None:
        yield f"    hit rate     {percent(rates['hit_rate'])} of {rates['hits'] + rates['misses']}"
    if near := metrics["near_hits"].get(name):
        yield f"    near         {near} hits"
    if waited := metrics["waits_by_name"].get(name):
        yield f"    writers      waited {waits(waited)}"
    yield from _listed("missed", found["missed"])
    yield from _listed("dropped by", found["dropped_by"])
    yield from _listed("not stored", metrics["not_stored"].get(name, {}))
    seconds, half, most = map(duration, (found["seconds"], found["p50"], found["p95"]))
    yield (
        f"    computing    {seconds} in {found['computed']}, half of them within {half}, "
        f"95% within {most}"
    )
    yield f"    saved        {duration(found['saved'])}"
    yield f"    stored       {found['fills']}, {found['bytes']:,} bytes"
    sampled, hit = found["sampled_fills"], found["hit_fills"]
    yield f"    never hit    {percent(_share(sampled - hit, sampled))} of {sampled} watched"
    equal, compared = found["equal_refills"], found["compared_refills"]
    yield f"    equal        {percent(_share(equal, compared))} of {compared} refills, or more"
    yield from _listed("equal after", found["equal_after"])
    for drop in metrics["dropped"]:
        if drop["tag"] in found["dropped_by"]:
            by = f"{drop['cause']} of {drop['entity_type']}".strip()
            yield f"    {drop['tag']} was dropped {drop['deliveries']} times by {by}"
            if drop["route"]:
                yield f"      in {drop['route']}"


def _listed(what: str, counts: Mapping[str, int]) -> Iterator[str]:
    start = f"{what:<13}"
    for name, number in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        yield f"    {start}{number:>7}  {name}"
        start = " " * 13


def waits(waited: Waited) -> str:
    """Return how often writers waited, and how long."""
    return f"{waited['waits']} times, {duration(waited['seconds'] / waited['waits'])} on average"


def percent(share: float | None) -> str:
    """Return a share from 0 to 1 as text; a dash for None."""
    return "-" if share is None else f"{share:.1%}"


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
