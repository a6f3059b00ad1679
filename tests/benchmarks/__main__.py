"""Measures what the package costs, on servers and a database of its own. Budgets are reported.

The exit code says whether everything could be measured, not whether the budgets were kept.
"""

import argparse
import json
import os
import platform
import signal
import sys
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.db import connection
from django.utils.module_loading import import_string

from example_project.scratch_database import scratch_database
from example_project.servers import running_servers
from tests.benchmarks.table import Row, render
from tests.benchmarks.timing import FULL, QUICK

SECTIONS = (
    *("writes", "watcher", "hits", "together", "querysets", "pages", "tracked", "tags", "memory"),
    *("replay", "ahead", "near", "growth"),
)
PEERS = "peers"


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print a table or JSON."""
    options = _parser().parse_args(arguments)
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    # An exit in good order, so that nothing is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with running_servers():
        django.setup()
        if connection.vendor != "postgresql":
            sys.exit("DATABASE_URL: the benchmarks need PostgreSQL.")
        # With DEBUG every query is written down, which would be measured along.
        settings.DEBUG = False
        with scratch_database("benchmarks"):
            # What uses models can be imported now and no earlier.
            run = import_string("tests.benchmarks.run.run")
            rows = list(
                run(QUICK if options.quick else FULL, [PEERS] if options.peers else options.only)
            )
            document = {"machine": _machine(), "rows": [row.as_dict() for row in rows]}
    _report(options, rows, document)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="sections")
    parser.add_argument(
        "--peers", action="store_true", help="only others that are installed, beside"
    )
    parser.add_argument("--quick", action="store_true", help="few rounds: too few for the numbers")
    parser.add_argument("--format", choices=["text", "json"], default="text", help="of the output")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write JSON to a file as well")
    return parser


def _report(options: argparse.Namespace, rows: list[Row], document: dict[str, Any]) -> None:
    text = json.dumps(document, indent=2)
    if options.json:
        options.json.write_text(text + "\n")
    if options.format == "json":
        print(text)
        return
    print(", ".join(f"{name} {version}" for name, version in document["machine"].items()))
    print(render(rows))


def _machine() -> dict[str, str]:
    server = import_string("tests.benchmarks.server.CacheServer")()
    info = server.client.info("server")
    name = "Valkey" if "valkey_version" in info else "Redis"
    with connection.cursor():
        version = connection.connection.info.parameter_status("server_version")
    return {
        "Python": platform.python_version(),
        "Django": django.get_version(),
        name: info.get("valkey_version", info["redis_version"]),
        "PostgreSQL": version,
        "CPUs": str(os.cpu_count()),
    }


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
