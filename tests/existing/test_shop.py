"""Ten lines cache a shop, and whoever looks sees what they would see without them."""

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from example_project.servers import ValkeyServer
from tests.existing.project import PAGE, Project, added, diffs, files, patched
from tests.once import made_once

pytestmark = pytest.mark.slow

BLOCK: Final = "/products/1/"

Asked = tuple[str, str, str]  # the edit before, the user and the URL


class Answers(NamedTuple):
    """Those of the shop as it was, and those of the shop with the app, asked three times."""

    before: dict[Asked, dict[str, Any]]
    after: list[dict[Asked, dict[str, Any]]]


def by_time(answers: list[dict[str, Any]], times: int) -> list[dict[Asked, dict[str, Any]]]:
    return [
        {(row["edit"], row["user"], row["url"]): row for row in answers if row["time"] == time}
        for time in range(times)
    ]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    folder = made_once(tmp_path_factory, "shops", visited)
    before, after = json.loads((folder / "answers.json").read_text())
    return Answers(by_time(before, 1)[0], by_time(after, 3))


def visited(folder: Path) -> None:
    cached = files() | {name: patched(files()[name], diff) for name, diff in diffs().items()}
    with ValkeyServer() as server, ThreadPoolExecutor() as pool:
        shops = [
            (Project(folder / "before", server.url, files()), 1),
            (Project(folder / "after", server.url, cached), 3),
        ]
        answers = list(pool.map(lambda shop: shop[0].visit(shop[1]), shops))
    (folder / "answers.json").write_text(json.dumps(answers))


def test_ten_lines_are_enough():
    lines = [line for diff in diffs().values() for line in added(diff)]
    assert len(lines) <= 10
    assert f"{len(lines)} lines" in PAGE.read_text().replace("Ten lines", "10 lines", 1)


def test_everybody_sees_what_they_would_see_without_the_app(answers):
    assert len(answers.before) > 300
    for asked in answers.before:
        expected = answers.before[asked]["status"], answers.before[asked]["words"]
        for time in answers.after[:2]:
            assert (time[asked]["status"], time[asked]["words"]) == expected, asked


def test_each_edit_is_one_that_shows(answers):
    edits = list(dict.fromkeys(edit for edit, _, _ in answers.before))
    shown: dict[str, set[str]] = {"page": set(), "block": set(), "API": set()}
    for previous, edit in pairwise(edits):
        for _, user, url in (asked for asked in answers.before if asked[0] == edit):
            kind = "block" if url == BLOCK else "API" if url.startswith("/api/") else "page"
            words = (answers.before[each, user, url]["words"] for each in (previous, edit))
            if next(words) != next(words):
                shown[kind].add(edit)
    everywhere = shown["page"] & shown["block"] & shown["API"]
    assert everywhere >= {"product saved", "product updated", "tag renamed", "category renamed"}
    assert everywhere >= {"price agreed", "price ended", "deleted softly"}
    # Pages do not show these.
    assert shown["block"] & shown["API"] >= {"tag added", "review written", "review edited"}
    assert set.union(*shown.values()) == set(edits[1:])


def test_each_user_sees_their_own_price(answers):
    own = {"nobody": set(), "ann": {"73"}, "ben": {"87"}}
    for time in answers.after[:2]:
        for url in ("/categories/coffee/", BLOCK, "/api/products/1/"):
            for user, prices in own.items():
                text = " ".join(time["nothing", user, url]["words"])
                assert {price for price in ("73", "87") if price in text} == prices, text


def test_the_second_visit_is_a_hit_and_the_third_a_304(answers):
    _, second, third = answers.after
    for asked, row in second.items():
        if row["status"] == 200 and asked[2] != BLOCK:
            assert (row["cache"], row["tables"]) == ("cache_invalidation; hit", []), asked
            assert third[asked]["status"] == 304


def test_parameters_of_a_campaign_make_no_other_page(answers):
    first = answers.after[0]
    marked = [row for asked, row in first.items() if "utm_source" in asked[2]]
    assert {row["cache"] for row in marked if row["status"] == 200} == {"cache_invalidation; hit"}


def test_the_second_visit_of_a_page_with_a_form_asks_for_nothing_of_its_block(answers):
    in_block = {"store_tag", "store_review"}
    for asked, row in answers.after[1].items():
        if asked[2] == BLOCK and row["status"] == 200:
            assert in_block <= set(answers.before[asked]["tables"])
            assert not in_block & set(row["tables"]), asked
