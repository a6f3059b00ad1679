"""The tests of another project, here a small one, are run as they are."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.compat.outcomes import Result, Run, doubts, read
from tests.compat.running import INSIDE, SQLITE

SETTINGS = """
SECRET_KEY = "x"
DATABASES = {"default": {"ENGINE": "django.db.backends.nobody_has_it"}}
INSTALLED_APPS = ("django.contrib.contenttypes", "django.contrib.auth")
"""

SCRIPT = """
import os, sys
from django.core.management import execute_from_command_line

os.environ["DJANGO_SETTINGS_MODULE"] = "small_settings"
execute_from_command_line([sys.argv[0], "test", *sys.argv[1:]])
"""

TESTS = """
import logging
from unittest import skip

from django.contrib.auth.models import Group
from django.db import connection
from django.test import TestCase

UNWRAPS = False


class T(TestCase):
    def test_passes(self):
        assert connection.vendor == "sqlite"

    def test_fails(self):
        self.fail("as it does")

    def test_fails_in_one_of_its_parts(self):
        for number in 1, 2, 3:
            with self.subTest(number=number):
                self.assertNotEqual(number, 2)

    @skip("not today")
    def test_is_skipped(self):
        pass

    def test_with_an_error_in_the_log(self):
        logging.getLogger("cache_invalidation").error("%s failed", "it")

    def test_a_unwraps(self):
        if UNWRAPS:
            connection.execute_wrappers.clear()

    def test_b_follows(self):
        pass
"""

PYTEST = """
import os

import django
import pytest

os.environ["DJANGO_SETTINGS_MODULE"] = "small_settings"
django.setup()


@pytest.mark.parametrize("number", [1, 2])
def test_is_one(number):
    assert number == 1


@pytest.fixture
def broken():
    raise ValueError


def test_cannot_be_prepared(broken):
    pass


@pytest.mark.skip
def test_is_skipped():
    pass
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A project that has never heard of the app."""
    for name, text in {
        "small_settings.py": SETTINGS,
        "runtests.py": SCRIPT,
        "small/__init__.py": "",
        "small/tests.py": TESTS,
        "pytests/test_small.py": PYTEST,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def run(suite: Path, *command: str, app: bool) -> Run:
    plan: dict[str, Any] = {
        "app": app,
        "report": str(suite / "report"),
        "database": SQLITE,
        "server": {},
        "cache": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    }
    environment = {**os.environ, "COMPAT": json.dumps(plan)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    process = subprocess.run(
        [sys.executable, str(INSIDE), *command],
        cwd=suite,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return read((suite / "report").read_text().splitlines(), process.stderr)


def outcomes(found: Run) -> dict[str, str]:
    return {test.rpartition(".")[2]: each.outcome for test, each in found.results.items()}


def test_the_outcome_of_each_test_is_written_down(suite: Path):
    found = run(suite, "runtests.py", "small", app=False)
    assert outcomes(found) == {
        "test_passes": "passed",
        "test_fails": "failed",
        "test_fails_in_one_of_its_parts": "failed",
        "test_is_skipped": "skipped",
        "test_with_an_error_in_the_log": "passed",
        "test_a_unwraps": "passed",
        "test_b_follows": "passed",
    }
    assert found.results["small.tests.T.test_is_skipped"] == Result("skipped", "not today")
    assert "AssertionError: as it does" in found.results["small.tests.T.test_fails"].text
    assert found.complete
    assert found.delivered is None


def test_the_app_is_at_work_in_each_test(suite: Path):
    found = run(suite, "runtests.py", "small.tests.T.test_passes", app=True)
    assert outcomes(found) == {"test_passes": "passed"}
    assert doubts(Run(results=found.results, complete=True), found) == []
    assert found.delivered


def test_an_error_that_the_app_logs_is_written_down(suite: Path):
    found = run(suite, "runtests.py", "small.tests.T.test_with_an_error_in_the_log", app=True)
    assert found.results["small.tests.T.test_with_an_error_in_the_log"].outcome == "logged"


def test_a_test_that_puts_the_app_out_of_action_is_found(suite: Path):
    text = TESTS.replace("UNWRAPS = False", "UNWRAPS = True")
    (suite / "small" / "tests.py").write_text(text)
    names = [f"small.tests.T.test_{name}" for name in ("a_unwraps", "b_follows")]
    found = run(suite, "runtests.py", *names, app=True)
    assert found.unwatched == {"small.tests.T.test_b_follows"}


def test_pytest_is_run_as_well(suite: Path):
    found = run(suite, "pytest", "-p", "no:cacheprovider", "-c", os.devnull, "pytests", app=True)
    assert {test.partition("::")[2]: each.outcome for test, each in found.results.items()} == {
        "test_is_one[1]": "passed",
        "test_is_one[2]": "failed",
        "test_cannot_be_prepared": "failed",
        "test_is_skipped": "skipped",
    }
    assert not found.unwatched
