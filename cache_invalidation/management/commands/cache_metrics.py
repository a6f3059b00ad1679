"""Print the counters."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.management.base import ShowingCommand
from cache_invalidation.metrics.report import (
    Metrics,
    Rates,
    pending_invalidations,
    read_metrics,
    read_minutes,
)

HELP = """\
Show what the cache did since the counters were last reset: hits and misses, in all and for each
cached function, invalidations by entity type, failures, what waits in the outbox. A process adds
its reads every few seconds (METRICS_FLUSH_INTERVAL), so the newest may be missing.

  cache_metrics
      as text

  cache_metrics --format json --minutes 60
      all fields, and the last hour minute by minute
"""


class Command(ShowingCommand):
    """``manage.py cache_metrics [--format json] [--minutes N]``"""

    help = HELP

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--minutes",
            type=int,
            default=0,
            metavar="N",
            help="with json: add the counters of each of the last N minutes, at most 1440",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            metrics = read_metrics()
            minutes = read_minutes(options["minutes"]) if options["minutes"] > 0 else None
        except StoreUnavailable as error:
            raise CommandError(
                f"The cache does not answer: {error}. "
                f"{pending_invalidations()} invalidations wait in the outbox."
            ) from error
        extra = {} if minutes is None else {"minutes": minutes}
        self.show(as_text(metrics), {**metrics, **extra}, options)


def as_text(metrics: Metrics) -> str:
    """Return the metrics as a table to be read in a terminal."""
    last = metrics["last_invalidation"]
    lines = [
        f"Since {metrics['since'] or 'nothing was counted yet'}",
        f"  reads          {_rates(metrics)}",
        *(f"    {name}  {_rates(rates)}" for name, rates in metrics["functions"].items()),
        "  invalidations",
        *(f"    {name:<30} {n}" for name, n in metrics["invalidations_by_entity_type"].items()),
        "  invalidated",
        f"    tags           {metrics['tag_invalidations']}",
        f"    keys           {metrics['key_invalidations']}",
        f"    patterns       {metrics['pattern_invalidations']}",
        f"  failed         {metrics['failed_invalidations']}",
        f"  pending        {metrics['pending_invalidations']}",
        f"  checked        {_checks(metrics)}",
        *(f"    {name:<30} {n}" for name, n in metrics["stale_by_entity_type"].items()),
    ]
    if last:
        lines.append(f"  last           {last['when']}  {last['entity_type']}  {last['cause']}")
    return "\n".join(lines)


def _checks(metrics: Metrics) -> str:
    rate = "no rate yet" if metrics["stale_rate"] is None else f"{metrics['stale_rate']:.1%} stale"
    return f"{rate} ({metrics['stale_hits']} of {metrics['checked_hits']} hits)"


def _rates(rates: Rates | Metrics) -> str:
    rate = "no rate yet" if rates["hit_rate"] is None else f"{rates['hit_rate']:.1%} hits"
    return f"{rate} ({rates['hits']} hits, {rates['misses']} misses, {rates['bypasses']} bypasses)"
