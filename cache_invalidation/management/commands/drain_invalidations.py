"""Deliver what waits in the outbox."""

import json
import signal
from contextlib import suppress
from threading import Event
from types import FrameType
from typing import Any, Final

from django.core.management.base import CommandError, CommandParser
from django.db import Error, connections

from cache_invalidation.delivery.outbox.draining import drain_each
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.management.base import ShowingCommand, sentence
from cache_invalidation.models import backlog, has_outbox
from cache_invalidation.stores import get_store

PROGRESS: Final = 10_000  # rows between two lines


HELP = """\
Deliver the invalidations that wait in the outbox because the cache could not be told. Processes
that noticed the outage do so themselves as soon as the cache is back; this is for what they leave
behind, for instance when they have ended. Any number may run at once.

  drain_invalidations
      everything that waits, once; an error if the cache does not answer

  drain_invalidations --loop
      whatever comes, beside the other processes, until it is stopped
"""


class Command(ShowingCommand):
    """``manage.py drain_invalidations [--loop] [--database ALIAS] [--format json]``"""

    help = HELP

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--loop",
            action="store_true",
            help="go on until SIGTERM or Ctrl-C; what failed is tried again later and later",
        )
        parser.add_argument(
            "--interval",
            type=float,
            default=1.0,
            metavar="SECONDS",
            help="with --loop: the pause between two looks (default: 1)",
        )
        parser.add_argument(
            "--database",
            action="append",
            choices=sorted(connections),
            metavar="ALIAS",
            help="drain the outbox of this database only; may be repeated (default: all)",
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["interval"] <= 0:
            raise CommandError("--interval is a number of seconds above zero.")
        self.options = options
        for using in options["database"] or ():
            _check(using)
        if options["loop"]:
            self._loop()
            return
        try:
            delivered = self._drain(retry=True)
        except (StoreUnavailable, Error) as error:
            raise CommandError(f"{sentence(error)} {backlog()} invalidations wait.") from error
        self._say(delivered, final=True)

    def _loop(self) -> None:
        stopped = Event()

        def stop(number: int, frame: FrameType | None) -> None:
            stopped.set()

        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, stop)
        failing = ""
        while not stopped.is_set():
            try:
                delivered = self._drain(retry=False)
                if delivered:
                    self._say(delivered, final=False)
                if delivered or get_store().breaker.is_working:
                    failing = ""
            except (StoreUnavailable, Error) as error:
                if not failing:  # Once for each outage.
                    failing = f"{type(error).__name__}: {error}"
                    self.stderr.write(f"{failing}. Trying again.")
                connections.close_all()
            stopped.wait(self.options["interval"])

    def _drain(self, *, retry: bool) -> int:
        delivered = told = 0
        for number in drain_each(self.options["database"] or connections, retry=retry):
            delivered += number
            if delivered - told >= PROGRESS and self.options["verbosity"]:
                told = delivered
                self.stderr.write(f"{delivered:,} delivered, {backlog():,} wait …")
        return delivered

    def _say(self, delivered: int, *, final: bool) -> None:
        left = backlog()
        if self.options["format"] == "json":
            self.stdout.write(json.dumps({"delivered": delivered, "pending": left}))
        elif final or self.options["verbosity"]:
            self.stdout.write(f"Delivered {delivered:,} invalidations; {left:,} wait.")
        self.stdout.flush()  # Who reads a loop through a pipe has not to wait for its end.


def _check(using: str) -> None:
    """Raise `CommandError` if the database has no outbox."""
    with suppress(Error):  # It does not answer, which is found out again by draining it.
        if not has_outbox(connections[using]):
            raise CommandError(f"There is no outbox on {using!r}; run migrate --database {using}.")
