"""Print the counters."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.core.management.base import CommandError, CommandParser

from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.management import costs
from cache_invalidation.management.base import ShowingCommand, sentence
from cache_invalidation.metrics.latency import Percentiles
from cache_invalidation.metrics.report import read_metrics, read_minutes, read_recent
from cache_invalidation.metrics.shapes import Delivered, Metrics, Rates, StoreState, Waited
from cache_invalidation.models import backlog
from cache_invalidation.stores.messages import MINUTES, RECENT

HELP = """\
Show what the cache did since the counters were last reset: hits and misses, in all and for each
cached function, invalidations by entity type, failures, what waits in the outbox. A process adds
its reads every few seconds (METRICS_FLUSH_INTERVAL), so the newest may be missing.

  cache_metrics
      as text

  cache_metrics --costs
      and what took longest to compute: time spent and saved, refills that were equal

  cache_metrics --name shop.views.product
      all that is known of one function, page or block: why it missed, what dropped it

  cache_metrics --recent 20
      and the last twenty invalidations: when, why, what

  cache_metrics --format json --minutes 60
      all fields, and the last hour minute by minute
"""

MOST: Final = {"minutes": MINUTES, "recent": RECENT}  # of each that is kept


class Command(ShowingCommand):
    """``manage.py cache_metrics [--costs] [--name NAME] [--recent N] [--format json …]``"""

    help = HELP

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--costs",
            action="store_true",
            help="as text: add a table of what took longest to compute",
        )
        parser.add_argument(
            "--name", help="as text: show only what is known of this function, page or block"
        )
        parser.add_argument(
            "--recent",
            type=int,
            default=0,
            metavar="N",
            help=f"add the last N invalidations, the newest first; at most {MOST['recent']}",
        )
        parser.add_argument(
            "--minutes",
            type=int,
            default=0,
            metavar="N",
            help="with json: add the counters of each of the last N minutes; "
            f"at most {MOST['minutes']}",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        _check(options)
        minutes, recent = options["minutes"], options["recent"]
        try:
            metrics = read_metrics()
            extra: dict[str, Any] = {"minutes": read_minutes(minutes)} if minutes else {}
            last = read_recent(recent) if recent else []
        except StoreUnavailable as error:
            raise CommandError(
                f"The cache does not answer: {sentence(error)} "
                f"{backlog()} invalidations wait in the outbox."
            ) from error
        if recent:
            extra["recent"] = last
        lines = [*_lines(metrics), *(costs.table(metrics) if options["costs"] else ())]
        if (name := options["name"]) is not None:
            if name not in metrics["figures"]:
                raise CommandError(f"Nothing was measured of {name!r}. --costs lists names.")
            lines = list(costs.about(name, metrics))
        self.show("\n".join([*lines, *_recent(last)]), {**metrics, **extra}, options)


def _check(options: Mapping[str, Any]) -> None:
    """Raise `CommandError` for numbers that no answer can have."""
    for name, most in MOST.items():
        if not 0 <= options[name] <= most:
            raise CommandError(f"--{name} is a number from 0 to {most}.")
    if options["minutes"] and options["format"] != "json":
        raise CommandError("--minutes goes with --format json only.")


def _lines(metrics: Metrics) -> Iterator[str]:
    yield f"Since {metrics['since'] or 'nothing was counted yet'}"
    yield f"  cache          {_state(metrics['store'])}"
    yield f"  reads          {_rates(metrics)}"
    yield from (f"    {name}  {_rates(rates)}" for name, rates in metrics["functions"].items())
    yield from _detailed("not stored", metrics["not_stored"])
    yield from _detailed("stored", metrics["stored"])
    yield from _detailed("refreshed", metrics["refreshed"])
    if near := metrics["near_hits"]:
        yield "  near hits"
        yield from _numbers(near)
    if waited := metrics["waits_by_entity_type"]:
        yield "  writers waited for processes that keep values near"
        yield from _waits(waited)
    if waited_for := metrics["waits_by_name"]:
        yield "  writers waited for processes that keep this near"
        yield from _waits(waited_for)
    if fetched := metrics["fetched_together"]:
        yield f"  fetched        {fetched} together, {metrics['fetched_in_vain']} of them in vain"
    yield "  invalidations"
    yield from _numbers(metrics["invalidations_by_entity_type"])
    yield "  invalidated"
    yield f"    tags           {metrics['tag_invalidations']}"
    yield f"    keys           {metrics['key_invalidations']}"
    yield f"    patterns       {metrics['pattern_invalidations']}"
    yield f"  latency        {_latency(metrics['latency'])}"
    yield f"  failed         {metrics['failed_invalidations']}"
    yield f"  pending        {metrics['pending_invalidations']}"
    yield f"  checked        {_checks(metrics)}"
    yield from _numbers(metrics["stale_by_entity_type"])
    if last := metrics["last_invalidation"]:
        yield f"  last           {last['when']}  {last['entity_type']}  {last['cause']}"


def _recent(entries: list[Delivered]) -> Iterator[str]:
    for entry in entries:
        about = (entry["when"], entry["entity_type"], entry["cause"], entry["path"], entry["using"])
        yield f"{'  '.join(text or '-' for text in about)}  {_duration(entry['latency'])}"
        for kind, names in entry["targets"].items():
            yield from (f"  {kind:<9}{name}" for name in names)
            if more := entry["sizes"][kind] - len(names):
                yield f"  {kind:<9}and {more} more"


def _detailed(what: str, found: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    for name, counts in found.items():
        yield f"    {name}  {what}  {', '.join(f'{detail} {n}' for detail, n in counts.items())}"


def _numbers(counts: Mapping[str, int]) -> Iterator[str]:
    yield from (f"    {name:<30} {n}" for name, n in counts.items())


def _waits(waited: Mapping[str, Waited]) -> Iterator[str]:
    for name, found in waited.items():
        silent = found.get("silent")
        whole = f", {silent} for a whole lease" if silent else ""
        yield f"    {name}  {costs.waits(found)}{whole}"


def _state(store: StoreState) -> str:
    outage = f" since {store['since']}: {store['reason']}" if store["since"] else ""
    return f"{store['alias']} ({store['state']}{outage})"


def _latency(percentiles: Percentiles) -> str:
    found = {"p50": percentiles["p50"], "p95": percentiles["p95"], "p99": percentiles["p99"]}
    shown = [f"{name} {_duration(value)}" for name, value in found.items() if value is not None]
    return ", ".join(shown) or "nothing was delivered yet"


def _duration(seconds: float) -> str:
    return f"{1000 * seconds:,.1f} ms"


def _checks(metrics: Metrics) -> str:
    rate = "no rate yet" if metrics["stale_rate"] is None else f"{metrics['stale_rate']:.1%} stale"
    return f"{rate} ({metrics['stale_hits']} of {metrics['checked_hits']} hits)"


def _rates(rates: Rates | Metrics) -> str:
    rate = "no rate yet" if rates["hit_rate"] is None else f"{rates['hit_rate']:.1%} hits"
    return f"{rate} ({rates['hits']} hits, {rates['misses']} misses, {rates['bypasses']} bypasses)"
