"""System checks of the dict ``CACHE_INVALIDATION``."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import Error, Warning
from django.core.management import call_command
from django.test import override_settings

from cache_invalidation.conf import Settings
from cache_invalidation.stores import near
from tests.checks.reporting import configured, ids, only, reported, reported_in_production

ROOT = Path(__file__).resolve().parent.parent.parent

# Django's own checks ask the server for its version, once.
pytestmark = pytest.mark.django_db(databases="__all__")


def test_nothing_is_wrong_with_the_settings_of_the_tests():
    assert reported() == []
    assert reported_in_production() == []
    call_command("check", verbosity=0)


@pytest.mark.parametrize("names", [(), ("REDIS_URL", "DATABASE_URL")], ids=["alone", "servers"])
def test_nothing_is_wrong_with_the_example_project(names: tuple[str, ...]):
    code = (
        "import django; django.setup(); from django.core.checks import run_checks;"
        "print([m for m in run_checks(databases=['default']) if 'cache_inv' in m.id])"
    )
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_URL")}
    environment |= {name: os.environ[name] for name in names}
    environment["DJANGO_SETTINGS_MODULE"] = "example_project.settings"
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (result.stdout, result.stderr) == ("[]\n", "")


@pytest.mark.parametrize("value", [[], "", 0, "CACHE"])
def test_e001_what_is_no_dict(value: Any):
    with override_settings(CACHE_INVALIDATION=value):
        assert "not a dict" in only(reported_in_production(), Error, "E001").msg


def test_every_key_may_be_given():
    values = {"CACHE": "zlib", "CONSISTENCY": "commit", "DEFAULT_TIMEOUT": None, "REPLICA_LAG": 2}
    with configured(**values):
        assert reported() == []


@pytest.mark.parametrize("value", ["strict", "CACHE", ["CACHE"], 3, True, {"CACHE"}], ids=repr)
def test_e001_settings_that_are_no_dict(value: Any):
    with override_settings(CACHE_INVALIDATION=value):
        message = only(reported_in_production(), Error, "E001")
    assert message.msg == f"CACHE_INVALIDATION is {value!r}, which is not a dict."
    assert "CACHE_INVALIDATION = {" in str(message.hint)


@pytest.mark.parametrize("key", ["CACHES", "cache", 3])
def test_e002_a_key_that_does_not_exist(key: Any):
    with override_settings(CACHE_INVALIDATION={key: "default"}):
        message = only(reported(), Error, "E002")
    assert f"has a key {key!r}" in message.msg
    assert "FENCE_TIMEOUT" in str(message.hint)


@pytest.mark.parametrize("key", ["NEAR", "TRACK", "BLIND"])
def test_e002_says_of_an_option_of_caches_where_it_goes(key: str):
    with override_settings(CACHE_INVALIDATION={key: ["product:*"]}):
        message = only(reported(), Error, "E002")
    assert f'CACHES["…"]["OPTIONS"][{key!r}]' in str(message.hint)


def test_e003_a_value_of_the_wrong_type():
    with configured(FENCE_TIMEOUT="soon"):
        message = only(reported(), Error, "E003")
    assert message.msg == "CACHE_INVALIDATION['FENCE_TIMEOUT'] is 'soon': it must be a number."
    assert str(Settings.FENCE_TIMEOUT.default) in str(message.hint)


def test_e003_every_bad_value_is_reported_at_once_and_by_nobody_else():
    bad = {"CACHE": None, "LOCK_TIMEOUT": 0, "CONSISTENCY": "never", "DEFAULT_TIMEOUT": -1}
    with configured(**bad, FENCE_TIMEOUT="", ON_STORE_FAILURE="panic", EXCLUDE="a"):
        messages = reported_in_production()
    assert ids(messages) == ["E003"] * 7
    assert "'strict', 'commit'" in " ".join(message.msg for message in messages)


def test_w013_a_write_that_is_to_be_aborted_after_it_was_committed():
    with configured(CONSISTENCY="commit", ON_STORE_FAILURE="abort"):
        message = only(reported(), Warning, "W013")
    assert "after COMMIT" in message.msg


@pytest.mark.parametrize(
    ("consistency", "failure"), [("strict", "abort"), ("commit", "outbox"), ("commit", "ignore")]
)
def test_other_combinations_do_what_they_say(consistency: str, failure: str):
    with configured(CONSISTENCY=consistency, ON_STORE_FAILURE=failure):
        assert reported() == []


@pytest.mark.parametrize(
    ("seconds", "in_use", "found"), [(6, True, ["W032"]), (5, True, []), (6, False, [])]
)
def test_w032_a_lease_for_whose_end_nobody_wants_to_wait(
    seconds: float, in_use: bool, found: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(near, "_in_use", in_use)
    with configured(NEAR_WAIT=seconds):
        assert ids(reported()) == found
        for message in reported():
            assert "NEAR_WAIT is 6 seconds" in message.msg
            assert "0.25" in str(message.hint)
