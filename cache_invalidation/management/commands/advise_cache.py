"""Print what to change."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import indent
from typing import Any

from django.core.management.base import CommandError, CommandParser

from cache_invalidation.advice.advising import Advice, read_advice
from cache_invalidation.advice.findings import IN_SECONDS, Finding
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.management.base import ShowingCommand, sentence
from cache_invalidation.management.costs import percent
from cache_invalidation.metrics.durations import duration

HELP = """\
Say what to change so that more reads are hits: what was found, by which figures, what to write, and
the hit rate and the seconds to expect. It goes by what all processes have counted since the last
reset, and says nothing where too little was counted.

  advise_cache
      as text, what saves most first

  advise_cache --format json
      as JSON

  cache_metrics --format json > before.json
  advise_cache --since before.json
      by what was counted after the file was written: since a deployment, say
"""


class Command(ShowingCommand):
    """``manage.py advise_cache [--since FILE] [--format json]``"""

    help = HELP

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--since",
            type=Path,
            metavar="FILE",
            help="go by what was counted after cache_metrics --format json has printed this file",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        before = None if options["since"] is None else _read(options["since"])
        try:
            advice = read_advice(before)
        except StoreUnavailable as error:
            raise CommandError(f"The cache does not answer: {sentence(error)}") from error
        except ValueError as error:
            raise CommandError(f"{options['since']}: {error}.") from error
        self.show("\n".join(_lines(advice)), {**advice}, options)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CommandError(
            f"--since {path}: there is no such file. It takes what cache_metrics --format json has "
            "written at that time, and no time: what advice goes by is kept as totals, and what "
            "they were earlier is not known."
        ) from error
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise CommandError(f"{path} is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise CommandError(f"{path} is not what cache_metrics prints with --format json.")
    return found


def _lines(advice: Advice) -> Iterator[str]:
    period = "" if advice["period"] is None else f" in {duration(advice['period'])}"
    yield f"By {advice['reads']} reads{period}"
    if advice["details_left_out"]:
        yield f"  not all was counted: {advice['details_left_out']} additions found no room"
    if not advice["findings"]:
        yield "  nothing to change" if advice["reads"] else "  nothing was counted yet"
    for number, finding in enumerate(advice["findings"], 1):
        yield ""
        yield from _finding(number, finding, advice["period"])


def _finding(number: int, finding: Finding, period: float | None) -> Iterator[str]:
    yield f"{number}. {finding['name']}: {finding['summary']}"
    rate, expected = percent(finding["hit_rate"]), percent(finding["expected_hit_rate"])
    saves = duration(finding["seconds"])
    each_hour = ""
    if period and period >= 3600:
        each_hour = f", {duration(finding['seconds'] * 3600 / period)} each hour"
    yield f"   hit rate {rate}, to expect {expected}; saves {saves}{each_hour}"
    yield from (f"   for {name}" for name in finding["readers"])
    yield f"   by {', '.join(_figure(name, n) for name, n in finding['evidence'].items())}"
    for write in finding["writes"]:
        where = f" in {write['route']}" if write["route"] else ""
        times = "once" if write["deliveries"] == 1 else f"{write['deliveries']} times"
        yield f"   {times} {write['cause']} of {write['entity_type']}{where}"
    yield indent(finding["patch"], "     ")


def _figure(name: str, value: float) -> str:
    return f"{name} {duration(value) if name in IN_SECONDS else f'{value:,.6g}'}"
