"""Prepares servers and a database of the demo's own, runs it, and removes everything."""

import os
import signal
import sys

import django
from django.conf import settings
from django.db import connection
from django.utils.module_loading import import_string

from example_project.scratch_database import scratch_database
from example_project.servers import running_servers


def main() -> int:
    """Run the demo; return 0 if the app kept its promise, else 1."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "example_project.settings"
    # An exit in good order, so that nothing is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with running_servers():
        django.setup()
        if connection.vendor != "postgresql":
            sys.exit("DATABASE_URL: the demo needs PostgreSQL, because SQLite has no row locks.")
        # With DEBUG every query is written down, which would be measured along.
        settings.DEBUG = False
        with scratch_database("airports_demo"):
            # What uses models can be imported now and no earlier.
            run = import_string("example_project.demo.show.run")
            return 0 if run() else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
