"""A soak: readers with values near and writers on the same rows, while things break around them.

Connections are cut, processes stopped for longer than a lease, and the server loses everything.
The exit code is 0 if nothing stale was read and nothing stale is left.
"""

import argparse
import os
import signal
import sys

import django
from django.conf import settings
from django.utils.module_loading import import_string

from example_project.scratch_database import scratch_database
from example_project.servers import running_servers


def main() -> int:
    """Run it, and print what came of it every minute."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(prog="python -m tests.near", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long (default: 60)")
    parser.add_argument("--readers", type=int, default=4, help="processes (default: 4)")
    parser.add_argument("--writers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--calm", action="store_true", help="break nothing")
    parser.add_argument("--control", action="store_true", help="have no writer wait")
    ways = ("dropped", "overwritten")
    parser.add_argument("--keys", choices=ways, help="tracked keys, and what writers do to them")
    options = parser.parse_args()
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    with running_servers():
        django.setup()
        settings.DEBUG = False
        with scratch_database("soak"):
            return 0 if import_string("tests.near.soak.soak")(options) else 1


if __name__ == "__main__":
    sys.exit(main())
