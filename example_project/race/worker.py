"""The first thing that a process of a race runs."""

import signal
from multiprocessing.connection import Connection
from typing import Literal

import django
from django.conf import settings
from django.utils.module_loading import import_string

from example_project.race.course import Course

Role = Literal["read", "write"]


def work(role: Role, course: Course, number: int, parent: Connection) -> None:
    """Say when ready, wait for the start, race until the end and say so.

    What is counted goes into the tally with this `number`.
    """
    # Ctrl-C in a terminal reaches every process; the parent stops the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name, value in course.settings.items():
        setattr(settings, name, value)
    django.setup()
    # Models cannot be imported earlier than now, and what needs them neither.
    race = import_string(f"example_project.race.loops.{role}")
    with parent:
        parent.send("ready")
        if course.go.wait(course.time_limit):
            race(course, course.tallies[number])
            parent.send("done")
