"""A soak: readers with values near and writers on the same rows, while things break around them.

The exit code is 0 if nothing stale was read, nothing stale is left, and nothing failed.
"""

import argparse
import os
import signal
import sys
from math import inf

import django
from django.conf import settings
from django.db import connection
from django.utils.module_loading import import_string

from example_project.scratch_database import scratch_database
from example_project.servers import running_servers
from tests.near.soak.course import FAST, Pace


def main() -> int:
    """Run it, and print what came of it every minute."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    options = _parser().parse_args()
    module = "tests.settings" if options.overwritten else "tests.consistency.drills.settings"
    os.environ["DJANGO_SETTINGS_MODULE"] = module
    with running_servers():
        django.setup()
        if connection.vendor != "postgresql":
            sys.exit("DATABASE_URL: the soak needs PostgreSQL.")
        settings.DEBUG = False
        with scratch_database("soak"):
            if options.overwritten:  # Which has a race and troubles of its own.
                return 0 if import_string("tests.near.soak_of_keys.soak")(options) else 1
            return 0 if _run(options) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.near", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long (default: 60)")
    parser.add_argument("--readers", type=int, default=4, help="processes (default: 4)")
    parser.add_argument("--writers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="troubles; a wrong name lists them"
    )
    parser.add_argument("--calm", action="store_true", help="no trouble")
    parser.add_argument("--fast", action="store_true", help="few writes, and nearly all reads near")
    parser.add_argument("--reads", type=float, default=0, help="or longer, until there are so many")
    parser.add_argument(
        "--overwritten", action="store_true", help="race for tracked keys that writers set instead"
    )
    parser.add_argument("--control", action="store_true", help="as --sabotage no_writer_waits")
    parser.add_argument("--sabotage", metavar="NAME", help="break the package; see the drills")
    return parser


def _run(options: argparse.Namespace) -> bool:
    # What uses models can be imported now and no earlier.
    troubles = import_string("tests.near.soak.troubles.TROUBLES")
    names = [] if options.calm else options.only or list(troubles)
    if unknown := set(names).difference(troubles):
        told = "\n".join(f"  {name}: {trouble.__doc__}" for name, trouble in troubles.items())
        sys.exit(f"No troubles: {', '.join(unknown)}. There are:\n{told}")
    load, read = (
        import_string(f"example_project.airports.loading.{name}")
        for name in ("load", "read_airports")
    )
    load(read(["IE"]))
    report = import_string("tests.near.soak.run.soak")(
        names,
        seconds=options.seconds,
        readers=options.readers,
        writers=options.writers,
        pace=FAST if options.fast else Pace(),
        is_enough=lambda report: bool(report.reads >= options.reads),
        longest=inf,
        sabotage="no_writer_waits" if options.control else options.sabotage,
        tell=lambda line: print(line, flush=True),
    )
    print(*report.lines(), sep="\n")
    return bool(report.is_right)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
