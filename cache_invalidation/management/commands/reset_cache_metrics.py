"""Set the counters to zero."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.metrics.report import read_metrics, reset_metrics


class Command(BaseCommand):
    """``manage.py reset_cache_metrics [--format json]``"""

    help = (
        "Set all counters of the cache to zero. What is cached stays. Reads that other processes "
        "have counted and not added yet arrive after the reset."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--format", choices=("text", "json"), default="text", help="text (default) or json"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            reset_metrics()
            since = read_metrics()["since"]
        except StoreUnavailable as error:
            raise CommandError(f"The cache does not answer: {error}") from error
        if options["format"] == "json":
            self.stdout.write(json.dumps({"reset": True, "since": since}))
        else:
            self.stdout.write(f"All counters are zero since {since}.")
