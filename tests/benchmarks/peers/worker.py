"""The process of one that is measured: does what it is told, and says how long it took."""

import signal
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import django
from django.conf import settings
from django.utils.module_loading import import_string

ROWS = 20
APPS = "django.contrib.contenttypes", "tests.benchmarks.peers"


def work(name: str, app: str | None, changed: Mapping[str, Any], parent: Connection) -> None:
    """Time what the parent names, as often as it says, until it says nothing more."""
    # Ctrl-C in a terminal reaches every process; the parent ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for setting, value in changed.items():
        setattr(settings, setting, value)
    settings.INSTALLED_APPS = [*APPS, *filter(None, [app])]
    django.setup()
    # What needs models cannot be imported earlier than now.
    tasks = import_string("tests.benchmarks.peers.tasks.prepared")(name, ROWS)
    timed = import_string("tests.benchmarks.timing.timed")
    with parent, import_string("tests.benchmarks.timing.garbage_kept")():
        parent.send(list(tasks))
        while (told := parent.recv()) is not None:
            task, calls = told
            parent.send(timed(tasks[task](calls)))
