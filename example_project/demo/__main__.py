"""Prepares servers and a database of the demo's own, runs it, and removes everything."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import django
from django.conf import settings
from django.db import connection
from django.utils.module_loading import import_string

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
        with own_database():
            # What uses models can be imported now and no earlier.
            run = import_string("example_project.demo.show.run")
            return 0 if run() else 1


@contextmanager
def own_database() -> Iterator[None]:
    """Hold an empty database beside the one in the settings, which is not touched."""
    name = connection.settings_dict["NAME"]
    connection.settings_dict["TEST"]["NAME"] = f"airports_demo_{os.getpid()}"
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
