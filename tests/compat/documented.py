"""The list of documented differences, `differences.toml`, and what it leaves unexplained."""

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.specifiers import SpecifierSet

from tests.compat.suites import DATABASES

LIST: Final = Path(__file__).with_name("differences.toml")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a test was run: the suite, the database, and the version of Django."""

    suite: str
    database: str
    django: str


@dataclass(frozen=True, kw_only=True)
class Documented:
    """Tests of a suite that fail with the app, where they do, and the reason."""

    suite: str
    #: Names of tests; `*` stands for anything.
    tests: tuple[str, ...]
    reason: str
    databases: tuple[str, ...]
    #: Versions of Django, such as ``>=6``; empty for any.
    django: SpecifierSet

    def applies(self, place: Place) -> bool:
        return (
            self.suite == place.suite
            and place.database in self.databases
            and self.django.contains(place.django, prereleases=True)
        )


def load(text: str) -> list[Documented]:
    """Return the entries of a list, written as TOML."""
    return [_entry(**values) for values in tomllib.loads(text).get("difference", [])]


def _entry(
    *,
    suite: str,
    tests: Sequence[str],
    reason: str,
    databases: Sequence[str] = DATABASES,
    django: str = "",
) -> Documented:
    if not reason.strip():
        raise ValueError(f"{tests}: say the reason.")
    return Documented(
        suite=suite,
        tests=tuple(tests),
        reason=" ".join(reason.split()),
        databases=tuple(databases),
        django=SpecifierSet(django),
    )


def applying(entries: Iterable[Documented], place: Place) -> dict[str, str]:
    """Return the names of tests that may differ in `place`, with the reasons."""
    return {name: entry.reason for entry in entries if entry.applies(place) for name in entry.tests}


@dataclass(frozen=True, slots=True)
class Judged:
    """What the list says about the differences of one place."""

    #: Tests that differ, with the reason.
    explained: dict[str, str]
    #: Tests that differ, and nobody has said why.
    unexplained: list[str]
    #: Names in the list that no test which differs goes by.
    outdated: list[str]


def judge(
    reasons: Mapping[str, str],
    differing: Collection[str],
    tests: Collection[str],
    *,
    all_tests: bool,
) -> Judged:
    """Hold the tests that differ in a place against the names that may, with their `reasons`.

    `tests` are those that were run. A name that none of them goes by is outdated if they are
    `all_tests` of the suite.
    """
    explained: dict[str, str] = {}
    outdated: list[str] = []
    for name, reason in reasons.items():
        goes_by = _pattern(name).fullmatch
        met = dict.fromkeys(filter(goes_by, differing), reason)
        explained |= met
        was_run = all_tests or any(map(goes_by, tests))
        if was_run and not met:
            outdated.append(name)
    unexplained = [test for test in differing if test not in explained]
    return Judged(explained, unexplained, outdated)


def _pattern(name: str) -> re.Pattern[str]:
    # Not that of a shell: there are brackets in the names of tests.
    return re.compile(".*".join(map(re.escape, name.split("*"))))
