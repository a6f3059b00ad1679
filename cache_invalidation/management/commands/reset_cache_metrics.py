"""Set the counters to zero."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.management.base import ShowingCommand, operator, sentence
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.operations.actions import reset

HELP = """\
Set all counters of the cache to zero. What is cached stays. Reads that other processes have counted
and not added yet arrive after the reset. It is written into the audit log.

  reset_cache_metrics --reason "after the load test"
"""


class Command(ShowingCommand):
    """``manage.py reset_cache_metrics [--reason TEXT] [--format json]``"""

    help = HELP

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", default="", help="why, for the audit log")
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            reset(operator(), reason=options["reason"])
            since = read_metrics()["since"]
        except StoreUnavailable as error:
            raise CommandError(f"The cache does not answer: {sentence(error)}") from error
        self.show(f"All counters are zero since {since}.", {"reset": True, "since": since}, options)
