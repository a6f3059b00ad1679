"""What the processes of a soak do, in loops until it is over."""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from io import StringIO

from django.core.management import CommandError, call_command

from cache_invalidation import unit_of_work
from tests.consistency.drills.roles import begin
from tests.near.soak.course import Course, State, Tally
from tests.near.soak.site import Site, look, race, raise_elevation


def work(role: str, course: Course, number: int) -> None:
    """Do what `role` names, and count it in the tally of this number."""
    begin(course)
    step: Callable[[Course, Site, int], None] = globals()[role]
    site = Site(course.icaos, course.tallies[number])
    while not course.is_over():
        step(course, site, number)


def read(course: Course, site: Site, number: int) -> None:
    """Read as much as a request does, or look at everything where it is time for that."""
    tally, rounds = course.tallies[number], course.rounds.value
    try:
        with unit_of_work():  # As a request is one.
            if course.state.value == State.LOOK:
                if tally.looks < rounds:
                    look(site, tally)
                    tally.looks = rounds
                time.sleep(0.001)
            else:
                race(course, site, tally)
    except Exception as error:
        _failed(tally, error)


def write(course: Course, site: Site, number: int) -> None:
    """Write a random row, and pause."""
    tally = course.tallies[number]
    # Whoever asks for quiet waits for the one, so it is taken back before that is looked at.
    tally.is_hushed = 0
    if course.state.value != State.RACE:
        tally.is_hushed = 1
        time.sleep(0.005)
        return
    row = random.randrange(len(course.icaos))
    try:
        elevation = raise_elevation(course.icaos[row])
    except Exception as error:
        _failed(tally, error)
    else:
        course.returned[number * len(course.icaos) + row] = elevation
        tally.writes += 1
    time.sleep(random.uniform(0, 2 * course.pace.pause))


def drain(course: Course, site: Site, number: int) -> None:
    """Drain the outbox, as a job does that is scheduled now and then."""
    with suppress(CommandError):  # The cache is not there, and it is tried again.
        call_command("drain_invalidations", stdout=StringIO())
    time.sleep(0.2)


def _failed(tally: Tally, error: Exception) -> None:
    tally.failed += 1
    tally.note(repr(error))
