"""System checks of settings that are not ours."""

import subprocess
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.checks import Error, Warning
from django.db import connections
from django.test import override_settings

from cache_invalidation.checks.project import (
    check_atomic_requests,
    check_database_cache,
    check_threads,
)
from tests.checks.reporting import configured, only, reported

# Django's own checks ask the server for its version, once.
pytestmark = pytest.mark.django_db(databases="__all__")

WITHOUT_DRF = [app for app in django_settings.INSTALLED_APPS if "rest" not in app]


def test_e012_an_api_without_the_framework():
    with override_settings(ROOT_URLCONF="tests.api.urls"):
        assert reported() == []
        with override_settings(INSTALLED_APPS=WITHOUT_DRF):
            message = only(reported(), Error, "E012")
    assert "'rest_framework' is not in INSTALLED_APPS" in message.msg


PROGRAM = """
import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "cache_invalidation"],
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
    ROOT_URLCONF={urlconf!r},
)
django.setup()
from cache_invalidation.checks.project import check_api
print([message.id for message in check_api()])
"""


@pytest.mark.parametrize("urlconf", ["tests.testapp.models", "nowhere.urls", None])
def test_without_the_api_no_framework_is_needed(urlconf: str | None):
    # In a process where nobody has imported it before.
    program = PROGRAM.format(urlconf=urlconf)
    command = [sys.executable, "-W", "error", "-c", program]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"master": b"true"},
        {"enable-threads": b"false"},
        {b"workers": b"4"},
        {"enable-threads": b"0", "threads": b"0"},
    ],
    ids=repr,
)
def test_e013_a_server_that_runs_no_threads(
    monkeypatch: pytest.MonkeyPatch, options: dict[Any, Any]
):
    monkeypatch.setitem(sys.modules, "uwsgi", _uwsgi(options))
    message = only(reported(), Error, "E013")
    assert "enable-threads" in str(message.hint)


@pytest.mark.parametrize(
    "options",
    [
        {"enable-threads": b"true"},
        {"enable-threads": True},
        {"threads": b"2"},
        {b"enable-threads": b"true"},
    ],
    ids=repr,
)
def test_a_server_that_runs_threads_is_fine(
    monkeypatch: pytest.MonkeyPatch, options: dict[Any, Any]
):
    monkeypatch.setitem(sys.modules, "uwsgi", _uwsgi(options))
    assert reported() == []


def test_a_module_of_the_same_name_is_not_the_server(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "uwsgi", ModuleType("uwsgi"))
    assert check_threads() == []


def _uwsgi(options: dict[Any, Any]) -> Any:
    return SimpleNamespace(opt=options)


@pytest.fixture
def atomic(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set ATOMIC_REQUESTS, and perhaps an isolation level."""

    def atomic(alias: str, **options: Any) -> None:
        values = connections[alias].settings_dict
        monkeypatch.setitem(values, "ATOMIC_REQUESTS", True)
        monkeypatch.setitem(values, "OPTIONS", {**values["OPTIONS"], **options})

    return atomic


def test_w010_requests_that_are_snapshots_of_sqlite(atomic: Any):
    atomic("sqlite")
    message = only(reported(), Warning, "W010")
    assert "'sqlite' has ATOMIC_REQUESTS" in message.msg


class Level:
    name = "SERIALIZABLE"


@pytest.mark.parametrize("level", ["repeatable read", Level, "SERIALIZABLE"])
def test_w010_requests_that_are_snapshots_by_their_isolation_level(atomic: Any, level: Any):
    atomic("default", isolation_level=level)
    assert "'default'" in only(reported(), Warning, "W010").msg


def test_w010_names_each_database(atomic: Any):
    atomic("sqlite")
    atomic("other", isolation_level="repeatable read")
    assert [message.id for message in reported()] == ["cache_invalidation.W010"] * 2


@pytest.mark.parametrize("options", [{}, {"isolation_level": "read committed"}])
def test_requests_under_read_committed_are_fine(atomic: Any, options: dict[str, str]):
    atomic("default", **options)
    assert reported() == []


def test_snapshots_that_a_request_does_not_open_are_fine(monkeypatch: pytest.MonkeyPatch):
    values = connections["default"].settings_dict
    monkeypatch.setitem(values, "OPTIONS", {"isolation_level": "serializable"})
    assert reported() == []


def test_a_database_in_memory_has_nobody_else_who_could_write(
    atomic: Any, monkeypatch: pytest.MonkeyPatch
):
    atomic("sqlite")
    monkeypatch.setitem(connections["sqlite"].settings_dict, "NAME", ":memory:")
    assert reported() == []


def test_a_database_without_a_backend_is_not_for_the_checks_to_stumble_over(
    monkeypatch: pytest.MonkeyPatch,
):
    broken = {"ENGINE": "nowhere", "ATOMIC_REQUESTS": True}
    monkeypatch.setitem(connections.settings, "broken", broken)
    assert check_atomic_requests() == []


def test_w019_a_database_cache_in_transactions_about_other_databases(atomic: Any):
    with configured(CACHE="dbcache"):
        assert check_database_cache() == []
        atomic("other")
        assert check_database_cache() == []
        atomic("default")
        message = only(check_database_cache(), Warning, "W019")
    assert "'default', which has ATOMIC_REQUESTS" in message.msg
    assert check_database_cache() == []


def test_a_database_cache_beside_no_other_database_is_fine(
    atomic: Any, monkeypatch: pytest.MonkeyPatch
):
    atomic("default")
    only_one = {"default": connections.settings["default"]}
    monkeypatch.setattr(connections, "settings", only_one)
    with configured(CACHE="dbcache"):
        assert check_database_cache() == []
