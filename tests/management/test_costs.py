"""What functions cost and save, on a terminal."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from cache_invalidation import cached, invalidate
from cache_invalidation.management import costs
from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.durations import duration

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

NAME = "shop.views.a_page_with_quite_a_long_name"


@cached(tags=["costs:{number}"], name=NAME)
def page(number: int) -> int:
    return number


@cached(name="tiny")
def tiny() -> int:
    return 1


@pytest.fixture(autouse=True)
def some_are_counted(settings: Any) -> None:
    settings.CACHE_INVALIDATION = {"METRICS_FLUSH_INTERVAL": 3600}
    counters.discard()
    for number in (1, 1, 1, 2):
        page(number)
    invalidate(tags=["costs:1"], entity_type="shelf")
    page(1)
    tiny()


def output_of(*arguments: str) -> str:
    output = StringIO()
    call_command("cache_metrics", *arguments, stdout=output)
    return output.getvalue()


def test_a_table_of_what_they_cost_fits_a_terminal():
    lines = output_of("--costs").splitlines()
    head = next(index for index, line in enumerate(lines) if line.startswith("  costs"))
    assert lines[head].split() == ["costs", "hits", "p50", "p95", "spent", "saved", "equal"]
    table = lines[head + 1 :]
    assert max(map(len, lines[head:])) == 80
    row = table[table.index(f"    {NAME}") + 1].split()
    assert (row[0], row[-1]) == ("40.0%", "100.0%")
    assert any(line.startswith("    tiny ") for line in table)
    assert "costs" not in output_of()


def test_the_table_says_what_it_leaves_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(costs, "ROWS", 1)
    assert output_of("--costs").splitlines()[-1].startswith("    and 1 more")


def test_all_that_is_known_of_one_can_be_shown():
    found = [" ".join(line.split()) for line in output_of("--name", NAME).splitlines()]
    assert found[0] == NAME
    for line in (
        "hit rate 40.0% of 5",
        "missed 2 new",
        "1 invalidated",
        "dropped by 1 costs:{}",
        "equal 100.0% of 1 refills, or more",
        "equal after 1 costs:{}",
        "costs:{} was dropped 1 times by manual of shelf",
    ):
        assert line in found


def test_a_name_that_nobody_has_measured_is_an_error():
    with pytest.raises(CommandError, match="Nothing was measured of 'nothing'"):
        output_of("--name", "nothing")


def test_json_has_all_of_it():
    found = json.loads(output_of("--format", "json"))["figures"]
    assert found[NAME]["missed"] == {"new": 2, "invalidated": 1}
    assert set(found) == {NAME, "tiny"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *[
            (None, "-"),
            (0, "0 ms"),
            (0.000021, "21 µs"),
            (0.0005, "0.5 ms"),
            (0.02, "20 ms"),
            (0.9996, "1 s"),
        ],
        *[(1.25, "1.2 s"), (9.96, "10 s"), (59.7, "1 min"), (61, "1 min"), (600, "10 min")],
        *[(3599, "1 h"), (90_000, "25 h"), (9_999_999, "2,778 h"), (1e12, "277,777,778 h")],
    ],
)
def test_seconds_are_short(seconds: float | None, text: str):
    assert duration(seconds) == text
