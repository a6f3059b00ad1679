"""How tags are spelled: what is refused, what is escaped, what stands for what."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_invalidation.tags import (
    MAX_LENGTH,
    ROOT,
    check_name,
    check_names,
    check_star,
    check_written,
    collapse,
    escape,
    escape_glob,
    every_row_tag,
    expand,
    family,
    is_catch_all,
    model_tag,
    row_tag,
    shorten,
)
from tests.testapp.models import Product, ProductProxy, Restaurant

MEMBERS = st.builds("{}:{}".format, st.sampled_from("abc"), st.integers(0, 5).map(str))
TAGS = st.one_of(st.sampled_from(["a", "b", "homepage", "a:*"]), MEMBERS)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (None, "must be a string"),
        (3, "must be a string"),
        (b"homepage", "must be a string"),
        ("", "must not be empty"),
        (" \t", "must not be empty"),
        ("x" * 251, "longer than 250 characters"),
        ("a\nb", "control characters"),
        ("a\x00", "control characters"),
        ("a\x7f", "control characters"),
        ("a\x85", "control characters"),
        ("a\ud800", "surrogates"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_and_named(name, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        check_name(name, "pattern")
    assert "pattern" in str(caught.value)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("name", ["x", "x" * 250, "straße:ñ", "two words", "a:b:c", "*", "{x}"])
def test_every_other_name_is_returned_as_it_is(name):
    assert check_name(name) == name


@pytest.mark.parametrize("tag", ["*", "a", "a:*", "a:1", "a:1:b", "a:%2A"])
def test_a_star_is_everything_or_a_whole_family(tag):
    assert check_star(tag) == check_written(tag) == tag


@pytest.mark.parametrize(
    ("tag", "cure"),
    [
        *[("category:4*", "'category:\\*'"), ("a:**", "'a:\\*'"), ("a:1:*", "'a:\\*'")],
        *[("a*", "each"), ("**", "each"), ("a*:*", "each"), ("*:1", "each"), ("a*()", "each")],
    ],
)
def test_no_tag_is_a_pattern(tag, cure):
    for check in (check_star, check_written):
        with pytest.raises(ValueError, match=f"no pattern: .*; write {cure}"):
            check(tag)
    assert check_written(tag, "pattern") == tag


@pytest.mark.parametrize("names", ["homepage", b"homepage", None, 3])
def test_a_lone_string_is_refused_instead_of_being_taken_apart(names):
    with pytest.raises(ValueError, match="Keys must be a list of strings"):
        check_names(names, "key")


def test_names_may_come_from_any_iterable():
    assert check_names(name for name in ("a", "b")) == ("a", "b")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("*", True), ("**", True), ("a*", False), ("*a", False), (":*", False)],
)
def test_only_a_pattern_of_nothing_but_stars_matches_everything(pattern, expected):
    assert is_catch_all(pattern) is expected


def test_a_model_is_spelled_by_its_label_and_a_row_by_its_key():
    assert model_tag(Product) == "testapp.product"
    assert row_tag(Product, 42) == "testapp.product:42"
    assert every_row_tag(Product) == "testapp.product:*"


def test_a_proxy_has_the_tags_of_its_table_and_a_child_has_its_own():
    assert model_tag(ProductProxy) == model_tag(Product)
    assert row_tag(ProductProxy, 1) == row_tag(Product, 1)
    assert model_tag(Restaurant) == "testapp.restaurant"


def test_a_key_of_any_type_makes_a_row_tag():
    key = UUID("00000000-0000-0000-0000-000000000001")
    assert row_tag(Product, key) == f"testapp.product:{key}"
    assert row_tag(Product, "de:at") == "testapp.product:de:at"


def test_a_value_from_a_user_cannot_spell_the_tag_of_all_rows():
    assert row_tag(Product, "*") != every_row_tag(Product)
    assert "*" not in row_tag(Product, "**")


@pytest.mark.parametrize(
    ("tag", "expected"),
    [("homepage", None), ("*", None), ("a:1", "a:*"), ("a:1:en", "a:*"), ("a:*", "a:*")],
)
def test_the_family_of_a_tag_is_what_stands_before_its_first_colon(tag, expected):
    assert family(tag) == expected


def test_who_depends_on_a_tag_depends_on_its_family_and_on_the_root():
    assert expand(["b:2:x", "a"]) == (ROOT, "a", "b:*", "b:2:x")
    assert expand([]) == (ROOT,)


@given(st.lists(TAGS))
def test_expanding_twice_adds_nothing_and_the_order_is_fixed(tags):
    expanded = expand(tags)
    assert expand(expanded) == expanded
    assert expand(reversed(tags)) == expanded
    assert set(tags) <= set(expanded)


def test_a_family_collapses_only_above_the_limit():
    assert collapse(["a:1", "a:2", "b:1"], 2) == {"a:1", "a:2", "b:1"}
    assert collapse(["a:1", "a:2", "a:3", "b:1"], 2) == {"a:*", "b:1"}


def test_a_family_tag_makes_its_members_superfluous():
    assert collapse(["a:1", "a:*", "a"], 500) == {"a:*", "a"}


def test_tags_without_a_family_never_collapse():
    assert collapse(["a", "b", "c", ROOT], 1) == {"a", "b", "c", ROOT}


@given(st.sets(TAGS), st.integers(1, 4))
def test_collapsing_reaches_everybody_who_depends_on_one_of_the_tags(tags, limit):
    collapsed = collapse(tags, limit)
    for tag in tags:
        assert collapsed & (set(expand([tag])) - {ROOT})


@given(st.text())
def test_an_escaped_value_has_neither_stars_nor_control_characters(value):
    tag = f"a:{escape(value)}"
    assert "*" not in tag
    if len(tag) <= MAX_LENGTH:
        assert check_name(tag) == tag


@given(st.text(), st.text())
def test_different_values_stay_different_when_escaped(one, other):
    assert (escape(one) == escape(other)) is (one == other)


def test_half_a_surrogate_pair_which_json_can_bring_is_escaped_into_what_can_be_encoded():
    assert escape("a\ud800").encode()
    assert escape("a\ud800") != escape("a\udc00")


def test_an_ordinary_value_is_left_alone():
    assert escape("red-shoes 42:en") == "red-shoes 42:en"
    assert escape(42) == "42"


def test_a_tag_that_fits_is_not_shortened():
    tag = "a:" + "x" * (MAX_LENGTH - 2)
    assert shorten(tag) == tag


@given(st.text(min_size=250, max_size=400), st.text(min_size=250, max_size=400))
def test_long_tags_become_short_ones_of_the_same_family_that_differ_as_before(one, other):
    short = [shorten(f"a:{text}") for text in (one, other)]
    assert all(len(tag) <= MAX_LENGTH and family(tag) == "a:*" for tag in short)
    assert (short[0] == short[1]) is (one == other)


def test_what_a_glob_would_interpret_is_escaped():
    assert escape_glob(r"a*b?[c]^\d") == r"a\*b\?\[c\]\^\\d"
    assert escape_glob("red-shoes:42") == "red-shoes:42"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Decimal("1.5"), Decimal("1.50")),
        (Decimal("100"), Decimal("1E2")),
        (
            datetime(2026, 1, 1, 12, tzinfo=UTC),
            datetime(2026, 1, 1, 14, tzinfo=timezone(timedelta(hours=2))),
        ),
    ],
)
def test_values_that_are_equal_are_spelled_the_same_by_readers_and_writers(one, other):
    assert one == other
    assert escape(one) == escape(other)
