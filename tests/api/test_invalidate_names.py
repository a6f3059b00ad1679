"""POST cache/invalidate with the names of what is cached."""

import pytest

from cache_invalidation import cached
from cache_invalidation.metrics.counters import counters
from tests.api.conftest import Api

calls: list[str] = []


@cached(tags=[], name="api.menu")
def menu(language: str) -> int:
    calls.append(language)
    return len(calls)


def test_all_values_of_a_function_are_fresh_afterwards(api: Api):
    before = menu("en"), menu("de")
    assert (menu("en"), menu("de")) == before, "nothing is cached, so this proves nothing"
    answer = api.invalidate(functions=["api.menu"], reason="typos")
    assert (answer.status, answer.data["tags"]) == (200, ["api.menu()"])
    assert menu("en") > before[1]
    assert menu("de") > before[1]


def test_a_dry_run_leaves_them(api: Api):
    before = menu("en")
    assert api.invalidate(functions=["api.menu"], dry_run=True).data["tags"] == ["api.menu()"]
    assert menu("en") == before


def test_pages_and_blocks_are_dropped_by_their_tags(api: Api):
    counters.add("hits:page:shop.views.cart", "misses:block:shop/base.html:menu")
    answer = api.invalidate(pages=["shop.views.cart", "/admin/"], blocks=["shop/base.html"])
    assert answer.data["tags"] == ["block:shop/base.html", "page:/admin/", "page:shop.views.cart"]


@pytest.mark.parametrize(
    ("field", "name", "complaint"),
    [
        ("functions", "api.manu", "No cached function is called 'api.manu'. Did you mean api.menu"),
        ("pages", "api.menu", "No cached page is called 'api.menu'."),
        ("pages", "/nowhere", "No URL in ROOT_URLCONF leads to a page at '/nowhere'."),
        ("blocks", "menu.html", "No cached block is called 'menu.html'."),
        ("functions", "a\x07", "A name must not contain control characters"),
    ],
)
def test_names_that_nobody_knows_are_refused(api: Api, field: str, name: str, complaint: str):
    known = "api.menu" if field == "functions" else "/admin/" if field == "pages" else "menu"
    counters.add("hits:block:menu")
    answer = api.invalidate(**{field: [known, name]})
    assert answer.status == 400
    assert list(answer.data) == [field]
    assert list(answer.data[field]) == ["1"]
    assert answer.data[field]["1"][0].startswith(complaint)


def test_nothing_is_done_if_one_of_them_is_refused(api: Api):
    before = menu("en")
    assert api.invalidate(functions=["api.menu"], pages=["/nowhere"]).status == 400
    assert menu("en") == before


@pytest.mark.parametrize("tag", ["category:4*", "home*"])
def test_a_tag_is_no_pattern(api: Api, tag: str):
    answer = api.invalidate(tags=["homepage", tag])
    assert answer.status == 400
    assert "no pattern" in answer.data["tags"]["1"][0]
