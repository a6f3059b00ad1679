"""Near values in several processes, on the same few rows, for real and for a while."""

import pytest

from example_project.airports.loading import load, read_airports
from tests.near.soak.course import FAST
from tests.near.soak.report import Report
from tests.near.soak.run import soak
from tests.near.soak.troubles import TROUBLES

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture(autouse=True)
def in_use() -> None:
    """Leave this process alone: others race."""
    load(read_airports(["IE"]))


def test_nothing_stale_is_read_and_nothing_stale_is_left():
    report = soak([], seconds=0, is_enough=lambda it: it.near >= 20_000 and it.writes >= 100)
    assert report.is_right, report


def test_nor_if_nearly_all_reads_are_near():
    def is_enough(report: Report) -> bool:
        return report.near >= 100_000 and report.writes >= 20

    report = soak([], seconds=0, pace=FAST, is_enough=is_enough)
    assert report.is_right, report


def test_nor_in_the_middle_of_trouble():
    def is_enough(report: Report) -> bool:
        return min(report.troubles.values()) >= 1 and report.near >= 5_000

    report = soak(list(TROUBLES), seconds=0, is_enough=is_enough)
    assert report.is_right, report


@pytest.mark.parametrize(
    ("sabotage", "troubles"),
    [
        ("no_writer_waits", []),
        ("what_is_queued_is_not_read", ["cut-rings"]),
        ("what_was_lost_is_not_waited_for", ["flush"]),
        ("leases_do_not_end", ["stop-reader"]),
    ],
    ids=str,
)
def test_it_tells_what_is_broken(sabotage: str, troubles: list[str]):
    report = soak(troubles, seconds=0, sabotage=sabotage, is_enough=lambda it: it.stale > 0)
    assert not report.is_right


def test_so_it_does_if_nearly_all_reads_are_near():
    report = soak(
        [], seconds=0, pace=FAST, sabotage="no_writer_waits", is_enough=lambda it: it.stale > 0
    )
    assert not report.is_right
