"""Every drill in its short form; and that the drills find what is broken on purpose."""

import re
from dataclasses import replace

import pytest

from example_project.airports.loading import load, read_airports
from tests.consistency.drills.catalog import DRILLS, run
from tests.consistency.drills.pace import QUICK, Pace

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

# For what never gets back to normal.
IMPATIENT = replace(QUICK, patience=1)


@pytest.fixture(autouse=True)
def airports() -> None:
    load(read_airports(["IE"]))


@pytest.mark.parametrize("name", DRILLS)
def test_nothing_fails_nothing_is_stale_and_nothing_is_lost(name: str) -> None:
    report = run(DRILLS[name], QUICK)
    assert report.broken == []
    assert report.requests > 100
    assert report.writes > 10


@pytest.mark.parametrize(
    ("sabotage", "name", "found", "pace"),
    [
        ("nothing_is_delivered_on_recovery", "refused", "left in the outbox", IMPATIENT),
        ("readers_trust_what_has_not_caught_up", "refused", "stale|lost", QUICK),
        ("a_restart_goes_unnoticed", "old-snapshot", "stale|lost", QUICK),
        ("no_fence_is_raised", "writers", "stale|lost", QUICK),
        ("what_fails_is_forgotten", "refused", "stale|lost", QUICK),
        ("drainers_do_not_lock", "backlog", "delivered twice", QUICK),
        ("readers_see_that_the_cache_fails", "refused", "failed because of the cache", IMPATIENT),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_drill_tells_what_is_broken(sabotage: str, name: str, found: str, pace: Pace) -> None:
    report = run(DRILLS[name], pace, sabotage)
    assert re.search(found, " ".join(report.broken)), report
