"""What the races of tracked keys find: each of these breaks something that has to be found."""

from collections.abc import Callable
from typing import Any

import pytest

from cache_invalidation.surfaces.tracked import journals, seen
from cache_invalidation.surfaces.tracked.journals import Journal
from tests.consistency import test_surface_races as races
from tests.consistency.test_statement_races import sample_late
from tests.surfaces.by_hand import DJANGOS_PAGE, GET_AND_SET, GET_OR_SET, READ_BEFORE, tracking

__all__ = ["tracking"]

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "sqlite"]),
    pytest.mark.slow,
    pytest.mark.usefixtures("tracking"),
]

Patch = pytest.MonkeyPatch


def seen_at_any_time(patch: Patch) -> None:
    """Have it said that what there is now was seen before."""

    def before(number: int, tags: Any) -> Any:
        journals.see(frozenset(tag for tag in tags if not tag.startswith("mark ")))
        return {tag: seen._seen[tag][0] for tag in tags if tag in seen._seen}

    patch.setattr(seen, "before", before)


def queries_go_unnoticed(patch: Patch) -> None:
    patch.setattr(Journal, "reads", lambda *args: None)


def what_is_read_before_is_not_noted(patch: Patch) -> None:
    patch.setattr(Journal, "_note", lambda *args: None)


SABOTAGES: dict[str, tuple[Callable[[Patch], None], list[str], str]] = {
    "sampled late": (
        sample_late,
        [GET_OR_SET, GET_AND_SET, DJANGOS_PAGE],
        "between query and fetching",
    ),
    "seen at any time": (seen_at_any_time, [READ_BEFORE], "between query and fetching"),
    "queries go unnoticed": (
        queries_go_unnoticed,
        [GET_AND_SET, DJANGOS_PAGE],
        "between query and fetching",
    ),
    "not noted": (what_is_read_before_is_not_noted, [READ_BEFORE], "between query and fetching"),
}


@pytest.mark.parametrize("name", SABOTAGES)
def test_a_race_finds(name: str, using: str, monkeypatch: Patch) -> None:
    break_it, kinds, moment = SABOTAGES[name]
    break_it(monkeypatch)
    for kind in kinds:
        with pytest.raises(AssertionError, match=r"stale|still old"):
            # What has run before is found, or would be.
            races.race(kind, using, moment, "in autocommit", name != "queries go unnoticed")
