"""What readers and writers do all the time."""

import random
import time

from django.db import transaction

from cache_invalidation import unit_of_work
from example_project.airports.models import Airport
from example_project.race.course import Course, Tally
from example_project.race.strategies import make_strategy

LOOK_INTERVAL = 0.0005  # seconds between two looks at how far the readers are


def read(course: Course, tally: Tally) -> None:
    """Read random rows through the cache, and compare with what was committed before."""
    strategy = make_strategy(course.strategy, course.pause)
    started = time.monotonic()
    while not course.is_over(started):
        row = random.randrange(len(course.icaos))
        # Noted before the read begins: what is committed in the meantime may be seen or not.
        newest = course.committed[row]
        with unit_of_work():  # As a request is one.
            tally.stale += strategy.read(course.icaos[row]) < newest
        tally.misses = strategy.misses
        tally.reads += 1


def write(course: Course, tally: Tally) -> None:
    """Raise the elevation of random airports, by one foot at a time."""
    started = time.monotonic()
    with make_strategy(course.strategy, course.pause).writing():
        while not course.is_over(started):
            row = random.randrange(len(course.icaos))
            with course.locks[row]:
                course.committed[row] = _raise_elevation(course.icaos[row])
            tally.writes += 1
            time.sleep(random.uniform(0, 2 * course.write_interval))
            while not (_is_due(course.total(), course) or course.is_over(started)):
                time.sleep(LOOK_INTERVAL)


def _is_due(total: Tally, course: Course) -> bool:
    """Whether there have been as many reads as there are to be for the writes until now."""
    return total.reads >= total.writes * course.reads_per_write


@transaction.atomic
def _raise_elevation(icao: str) -> int:
    """Save a row as a view or the admin would, and return what is committed on return."""
    airport = Airport.objects.select_for_update().get(icao=icao)
    airport.elevation_ft += 1
    airport.save()
    return airport.elevation_ft
