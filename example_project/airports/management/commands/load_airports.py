"""Load the airports of the world, or of a few countries."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from example_project.airports.loading import load, read_airports


class Command(BaseCommand):
    help = "Load the airports of the airportsdata package. Safe to repeat: writes what differs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "countries",
            nargs="*",
            type=str.upper,
            metavar="COUNTRY",
            help="two-letter code of a country to load; all if none is given",
        )

    def handle(self, *_args: Any, countries: list[str], **_options: Any) -> None:
        airports = read_airports(countries)
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
        with Progress(*columns, TimeElapsedColumn()) as progress:
            task = progress.add_task("Loading airports", total=len(airports))
            written = load(airports, lambda count: progress.advance(task, count))
        self.stdout.write(f"{written:,} of {len(airports):,} airports were new or different.")
