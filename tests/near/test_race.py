"""Near values in several processes, on the same few rows, for real and for a while."""

import pytest

from example_project.airports.loading import load, read_airports
from tests.near.__main__ import CONTROL
from tests.near.soak.report import Report
from tests.near.soak.run import soak
from tests.near.soak.troubles import TROUBLES

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture(autouse=True)
def in_use() -> None:
    """Leave this process alone: others race."""
    load(read_airports(["IE"]))


def test_nothing_stale_is_read_and_nothing_stale_is_left():
    report = soak([], seconds=0, is_enough=lambda it: it.near >= 50_000 and it.writes >= 200)
    assert report.is_right, report


def test_nor_in_the_middle_of_trouble():
    def is_enough(report: Report) -> bool:
        return min(report.troubles.values()) >= 2 and report.near >= 10_000

    report = soak(list(TROUBLES), seconds=0, is_enough=is_enough)
    assert report.is_right, report


def test_if_no_writer_waits_stale_values_are_read():
    assert soak([], seconds=0, sabotage=CONTROL, is_enough=lambda it: it.stale > 0).stale
