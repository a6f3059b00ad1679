"""Compute what is asked for most, before anybody has to wait for it."""

import json
import signal
from threading import Event
from types import FrameType
from typing import Any, Final

from django.core.management.base import CommandError, CommandParser
from django.db import connections

from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.management.base import ShowingCommand, sentence
from cache_invalidation.operations.warming import Budget, Progress, Warmer
from cache_invalidation.stores.messages import CALLS

_WIDTH: Final = 30  # characters of the bar

HELP = """\
Compute the values of the calls that are hit most and are not cached, or are about to expire. For
after a deployment, migrate, or a restart of the cache.

  warm_cache
      once: those that save most first, by hits times the seconds that computing takes

  warm_cache --loop --share 0.25
      until it is stopped, with a quarter of a core at most. It remembers the calls, also when the
      cache has lost everything

  warm_cache --seconds 30
      as many as fit into half a minute

Processes note one hit of 64, with its arguments, and the cache keeps a thousand calls. Left out is
what is or may be for one person: functions that vary on anything but language and time zone, or
have a parameter named after a user, a customer, a request, a session, a token or the like; and
calls with a row of the user model, or of one with a one-to-one field to it. Pages, blocks and
queries are not warmed. What is written meanwhile wins, as over any other reader.
"""


class Command(ShowingCommand):
    """``manage.py warm_cache [--loop] [--seconds N] [--share N] [--limit N] [--format json]``"""

    help = HELP
    # The functions of the views are known by their URLs, which the checks load.
    requires_system_checks = "__all__"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--loop", action="store_true", help="go on until SIGTERM or Ctrl-C")
        parser.add_argument(
            "--interval",
            type=float,
            default=1.0,
            metavar="SECONDS",
            help="with --loop: the pause between two rounds (default: 1)",
        )
        parser.add_argument(
            "--seconds",
            type=float,
            metavar="SECONDS",
            help="work no longer than that in one round (default: as long as it takes)",
        )
        parser.add_argument(
            "--share",
            type=float,
            default=1.0,
            metavar="SHARE",
            help="of a core, above 0 and up to 1: rest accordingly (default: 1)",
        )
        parser.add_argument(
            "--limit",
            type=int,
            default=CALLS,
            metavar="N",
            help=f"the N hottest calls only (default: all, at most {CALLS:,})",
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        self.options, self.stopped = options, Event()
        warmer = Warmer(_budget(options), self.stopped)
        if options["loop"]:
            self._loop(warmer)
            return
        try:
            self._say(self._round(warmer), final=True)
        except StoreUnavailable as error:
            raise CommandError(f"The cache does not answer: {sentence(error)}") from error

    def _loop(self, warmer: Warmer) -> None:
        def stop(number: int, frame: FrameType | None) -> None:
            self.stopped.set()

        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, stop)
        is_failing = False
        while not self.stopped.is_set():
            try:
                progress = self._round(warmer)
                is_failing = False
                if progress.outcomes["stored"]:
                    self._say(progress, final=False)
            except StoreUnavailable as error:
                if not is_failing:  # Once for each outage.
                    self.stderr.write(f"{sentence(error)} Trying again.")
                is_failing = True
            finally:
                connections.close_all()
            self.stopped.wait(self.options["interval"])

    def _round(self, warmer: Warmer) -> Progress:
        has_bar = self.stderr.isatty() and self.options["verbosity"] > 0
        progress = Progress(0)
        for progress in warmer.round():
            if has_bar:
                self.stderr.write(f"\r{_bar(progress)}", ending="")
        if has_bar:
            self.stderr.write("")
        return progress

    def _say(self, progress: Progress, *, final: bool) -> None:
        found = {**progress.by_outcome(), "left": progress.total - progress.done}
        if self.options["format"] == "json":
            self.stdout.write(json.dumps(found))
        elif final and not progress.total:
            self.stdout.write(
                "No calls are known. Processes note them while they serve; a cache that has lost "
                "everything has lost these, too, unless a loop of this command remembers them."
            )
        elif final or self.options["verbosity"]:
            text = ", ".join(f"{number:,} {outcome}" for outcome, number in found.items())
            self.stdout.write(f"{progress.total:,} calls: {text}.")
        self.stdout.flush()  # Who reads a loop through a pipe has not to wait for its end.


def _budget(options: dict[str, Any]) -> Budget:
    seconds, share, limit = options["seconds"], options["share"], options["limit"]
    if not 0 < share <= 1:
        raise CommandError("--share is a number above 0 and up to 1.")
    if (seconds is not None and seconds <= 0) or options["interval"] <= 0 or limit < 1:
        raise CommandError("--seconds, --interval and --limit are numbers above zero.")
    return Budget(seconds=seconds, share=share, limit=limit)


def _bar(progress: Progress) -> str:
    filled = round(_WIDTH * progress.done / (progress.total or 1))
    return f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {progress.done:,} of {progress.total:,}"
