"""Breaks the cache, the database and the writers under load, and counts what comes of it.

Everything runs on servers and a database of its own. The exit code is 0 if every requirement was
kept.
"""

import argparse
import json
import os
import signal
import sys
from dataclasses import replace
from importlib import import_module
from typing import Any

import django
from django.conf import settings
from django.db import connection
from django.utils.module_loading import import_string

from example_project.scratch_database import scratch_database
from example_project.servers import running_servers


def main(arguments: list[str] | None = None) -> int:
    """Run the drills, and print a table or JSON."""
    # An exit in good order, so that nothing is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.consistency.drills.settings"
    options = _parser().parse_args(arguments)
    with running_servers():
        django.setup()
        if connection.vendor != "postgresql":
            sys.exit("DATABASE_URL: the drills need PostgreSQL.")
        # With DEBUG every query is written down and kept.
        settings.DEBUG = False
        with scratch_database("drills"):
            reports = _run(options)
    broken = any(report.broken for report in reports)
    if options.format == "json":
        print(json.dumps([report.as_dict() for report in reports], indent=2))
    else:
        print(import_string("tests.consistency.drills.report.render")(reports))
    return 1 if broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.consistency.drills", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="drills; a wrong name lists them")
    parser.add_argument("--seconds", type=float, help="how long a fault lasts (default: 5)")
    parser.add_argument("--quick", action="store_true", help="as short as in the tests")
    parser.add_argument("--sabotage", metavar="NAME", help="break the package; see sabotage.py")
    parser.add_argument("--format", choices=["text", "json"], default="text", help="of the output")
    return parser


def _run(options: argparse.Namespace) -> list[Any]:
    # What uses models can be imported now and no earlier.
    catalog = import_module("tests.consistency.drills.catalog")
    pace = import_module("tests.consistency.drills.pace")
    chosen = pace.QUICK if options.quick else pace.FULL
    if options.seconds:
        chosen = replace(chosen, fault=options.seconds)
    names = options.only or list(catalog.DRILLS)
    if unknown := set(names).difference(catalog.DRILLS):
        sys.exit(f"No drills: {', '.join(unknown)}. There are: {', '.join(catalog.DRILLS)}.")
    load, airports = (
        import_string(f"example_project.airports.loading.{name}")
        for name in ("load", "read_airports")
    )
    load(airports(["IE"]))
    reports = []
    for name in names:
        print(f"{name} …", file=sys.stderr, flush=True)
        reports.append(catalog.run(catalog.DRILLS[name], chosen, options.sabotage))
    return reports


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
