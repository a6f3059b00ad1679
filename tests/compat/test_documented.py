"""The list of differences, and what is held against it."""

import pytest

from tests.compat.documented import LIST, Judged, Place, applying, judge, load
from tests.compat.suites import DATABASES, SUITES

PLACE = Place("django", "sqlite", "5.2.19")


def listed(tests: str = '["app.T.test_a"]', **values: str) -> str:
    values = {"suite": '"django"', "reason": '"It counts queries."', **values}
    lines = [f"{name} = {value}" for name, value in values.items()]
    return "\n".join(["[[difference]]", f"tests = {tests}", *lines])


def judged(text: str, *differing: str, place: Place = PLACE, all_tests: bool = True) -> Judged:
    tests = ["app.T.test_a", "app.T.test_b", *differing]
    return judge(applying(load(text), place), differing, tests, all_tests=all_tests)


def test_what_is_in_the_list_is_explained_by_its_reason():
    found = judged(listed(), "app.T.test_a", "app.T.test_b")
    assert found == Judged({"app.T.test_a": "It counts queries."}, ["app.T.test_b"], [])


def test_a_star_stands_for_anything_and_brackets_for_themselves():
    text = listed('["app.T.*", "x.py::test[*-1]"]')
    names = "app.T.test_a", "x.py::test[sqlite-1]"
    assert set(judged(text, *names).explained) == set(names)
    assert judged(text, "app.Two", "x.py::test-1").unexplained == ["app.Two", "x.py::test-1"]


def test_an_entry_that_nothing_meets_any_more_is_outdated():
    assert judged(listed()).outdated == ["app.T.test_a"]


def test_each_name_of_an_entry_has_to_be_met():
    found = judged(listed('["app.T.test_a", "app.T.test_b"]'), "app.T.test_b")
    assert found.outdated == ["app.T.test_a"]


def test_an_entry_is_not_outdated_because_its_tests_were_not_run():
    text = listed('["elsewhere.T.test_z"]')
    assert judged(text, all_tests=False).outdated == []
    assert judged(text, all_tests=True).outdated == ["elsewhere.T.test_z"]


@pytest.mark.parametrize(
    "values",
    [
        {"suite": '"guardian"'},
        {"databases": '["postgresql"]'},
        {"django": '">=6"'},
    ],
)
def test_an_entry_says_nothing_about_other_places(values: dict[str, str]):
    text = listed(**values)
    assert judged(text, "app.T.test_a") == Judged({}, ["app.T.test_a"], [])
    assert judged(text).outdated == []


def test_an_entry_applies_to_the_versions_and_databases_it_names():
    text = listed(databases='["postgresql"]', django='">=6"')
    place = Place("django", "postgresql", "6.1.3")
    assert set(judged(text, "app.T.test_a", place=place).explained) == {"app.T.test_a"}


def test_an_entry_without_a_reason_is_refused():
    with pytest.raises(ValueError, match="say the reason"):
        load(listed(reason='"  "'))


def test_an_entry_with_a_word_that_means_nothing_is_refused():
    with pytest.raises(TypeError, match="database"):
        load(listed(database='"sqlite"'))


def test_the_list_names_suites_and_databases_that_there_are():
    entries = load(LIST.read_text())
    assert {entry.suite for entry in entries} <= set(SUITES)
    assert {name for entry in entries for name in entry.databases} <= set(DATABASES)
