"""The site under load: cached functions, plain keys, and every way of writing that there is.

The elevation of an airport only ever grows. See `tests.consistency.mixture`.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, Final

from django.core.cache import cache
from django.db import close_old_connections, transaction

from cache_invalidation import ModelInvalidation, registry
from cache_invalidation.exceptions import InvalidationAborted
from cache_invalidation.stores import get_store
from example_project.airports.models import Airport
from tests.consistency.drills.course import Course
from tests.consistency.mixture import STATEMENTS, Mixture, save

Block = AbstractContextManager[Any]
Way = Callable[[Airport], None]

PAUSE: Final = 0.003  # seconds, at most, between the query of a reader and its store
LIFETIME: Final = 300  # seconds; longer than any drill, so that nothing goes for its age


class WithKeys(ModelInvalidation):
    """A rule that looks at values, and deletes plain keys."""

    keys = ["drill:elevation:{icao}"]
    patterns = ["drill:page:{icao}:*"]


class WithoutKeys(ModelInvalidation):
    """No more than the tags that every model has: statements in autocommit stay as they are."""


class Site(Mixture):
    """What readers and writers of a drill do, each in a process of its own."""

    def __init__(self, course: Course) -> None:
        super().__init__(PAUSE)
        self.course = course

    def plant(self, row: int) -> type[ModelInvalidation]:
        """Choose the rule of the next write; if it deletes plain keys, let there be some.

        They hold the elevation from before.
        """
        rule = random.choice([WithKeys, WithoutKeys])
        if rule is WithKeys:
            # That the cache may fail is the project's own affair here.
            with suppress(Exception):
                # The project's own client would wait for longer, and try again.
                get_store().ping()
                for key in plain_keys(self.course.icaos[row]):
                    cache.set(key, self.course.committed[row], LIFETIME)
        return rule

    def write(self, row: int, rule: type[ModelInvalidation]) -> None:
        """Raise the elevation of one airport by a foot, in one of many ways."""
        course, before = self.course, self.course.committed[row]
        block: Block = random.choice([transaction.atomic(), nullcontext()])
        try:
            elevation = raised(course.icaos[row], random.choice([save, *STATEMENTS]), rule, block)
        except Exception as error:
            self.look_again(row)
            if isinstance(error, InvalidationAborted) and course.committed[row] != before:
                raise AssertionError("A write that was to be rolled back is committed.") from error
            raise
        course.committed[row] = max(before, elevation)
        if rule is WithKeys:
            course.superseded[row] = before

    def look_again(self, row: int) -> None:
        """Take note of what the database has after a write of which nobody knows how it ended."""
        with suppress(Exception):
            close_old_connections()
            icao = self.course.icaos[row]
            found = Airport.objects.values_list("elevation_ft", flat=True).get(icao=icao)
            self.course.committed[row] = max(self.course.committed[row], found)

    def plain_keys_left(self) -> list[str]:
        """Return the plain keys that a write should have deleted."""
        return [
            key
            for row, icao in enumerate(self.course.icaos)
            for key in plain_keys(icao)
            if cache.get(key, self.course.superseded[row] + 1) <= self.course.superseded[row]
        ]


def plain_keys(icao: str) -> Iterator[str]:
    yield f"drill:elevation:{icao}"
    yield f"drill:page:{icao}:1"


def raised(icao: str, way: Way, rule: type[ModelInvalidation], block: Block) -> int:
    """Raise the elevation of one airport under `rule` and inside of `block`; return the new one."""
    with registry.override(Airport, rule), block:
        airport = Airport.objects.get(icao=icao)
        airport.elevation_ft += 1
        way(airport)
    return airport.elevation_ft
