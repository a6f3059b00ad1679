"""The settings: defaults, types, and that they are read where they are used."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from cache_invalidation.conf import Settings, declared, settings
from cache_invalidation.exceptions import CacheInvalidationError, InvalidSetting

DEFAULTS = {
    "CACHE": "default",
    "CONSISTENCY": "strict",
    "FENCE_TIMEOUT": 10.0,
    "ON_STORE_FAILURE": "outbox",
    "REPLICA_LAG": 0.0,
    "DEFAULT_TIMEOUT": 300.0,
    "ROW_TAG_LIMIT": 500,
    "EXCLUDE": ("sessions", "migrations", "admin.LogEntry"),
    "UNDECLARED_READS": None,
    "LOCK_TIMEOUT": 5.0,
    "REFRESH": "threads",
    "NEAR_WAIT": 0.25,
    "NEAR_BYTES": 64 * 1024 * 1024,
    "RETRY_INTERVAL": 1.0,
    "METRICS_FLUSH_INTERVAL": 5.0,
    "CODE_VERSION": "",
    "VARIANT_LIMIT": 1000,
    "CACHE_STATUS": None,
    "QUERIES": {},
}


@pytest.fixture(autouse=True)
def unhurried() -> None:
    """Leave the defaults as they are, since they are what is tested here."""


def configured(**values: Any) -> override_settings:
    return override_settings(CACHE_INVALIDATION=values)


@pytest.mark.parametrize(("name", "default"), DEFAULTS.items())
def test_a_key_that_is_left_out_has_its_default(name, default):
    assert getattr(settings, name) == default
    with configured():
        assert getattr(settings, name) == default


@pytest.mark.parametrize("setting", list(declared()), ids=lambda setting: setting.name)
def test_every_default_passes_for_a_value(setting):
    assert setting.check(setting.default) == setting.default
    with configured(**{setting.name: setting.default}):
        assert getattr(settings, setting.name) == setting.default


def test_without_a_dict_all_is_default():
    with override_settings(CACHE_INVALIDATION=None):
        assert settings.FENCE_TIMEOUT == 10


def test_an_override_counts_at_once_and_only_until_it_ends():
    with configured(FENCE_TIMEOUT=3):
        assert settings.FENCE_TIMEOUT == 3
        with configured(FENCE_TIMEOUT=4):
            assert settings.FENCE_TIMEOUT == 4
        with configured(REPLICA_LAG=1):
            assert settings.FENCE_TIMEOUT == 10
        assert settings.FENCE_TIMEOUT == 3
    assert settings.FENCE_TIMEOUT == 10


def test_whole_seconds_become_floats():
    with configured(FENCE_TIMEOUT=3, DEFAULT_TIMEOUT=60, REPLICA_LAG=0):
        found = settings.FENCE_TIMEOUT, settings.DEFAULT_TIMEOUT, settings.REPLICA_LAG
    assert list(map(repr, found)) == ["3.0", "60.0", "0.0"]


def test_entries_may_live_for_ever():
    with configured(DEFAULT_TIMEOUT=None):
        assert settings.DEFAULT_TIMEOUT is None


@pytest.mark.parametrize(
    "labels", [[], ["sessions"], ("admin.LogEntry", "shop"), {"sessions"}], ids=repr
)
def test_any_collection_of_labels_may_be_excluded(labels):
    with configured(EXCLUDE=labels):
        assert tuple(labels) == settings.EXCLUDE


@pytest.mark.parametrize("value", ["warn", "error", "ignore", None])
def test_reads_that_are_not_declared_may_be_warned_of_refused_or_ignored(value):
    with configured(UNDECLARED_READS=value):
        assert value == settings.UNDECLARED_READS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CACHE", ""),
        ("CACHE", None),
        ("CACHE", 3),
        ("CONSISTENCY", "eventual"),
        ("CONSISTENCY", True),
        ("CONSISTENCY", ["strict"]),
        ("ON_STORE_FAILURE", "raise"),
        ("FENCE_TIMEOUT", 0),
        ("FENCE_TIMEOUT", -1),
        ("FENCE_TIMEOUT", "10"),
        ("FENCE_TIMEOUT", True),
        ("FENCE_TIMEOUT", None),
        ("FENCE_TIMEOUT", float("nan")),
        ("FENCE_TIMEOUT", float("inf")),
        ("REPLICA_LAG", -0.1),
        ("REPLICA_LAG", float("nan")),
        ("DEFAULT_TIMEOUT", 0),
        ("DEFAULT_TIMEOUT", "300"),
        ("DEFAULT_TIMEOUT", float("inf")),
        ("ROW_TAG_LIMIT", 0),
        ("ROW_TAG_LIMIT", 1.5),
        ("ROW_TAG_LIMIT", True),
        ("EXCLUDE", "sessions"),
        ("EXCLUDE", None),
        ("UNDECLARED_READS", "raise"),
        ("UNDECLARED_READS", True),
        ("LOCK_TIMEOUT", 0),
        ("REFRESH", ""),
        ("NEAR_WAIT", -1),
        ("NEAR_WAIT", None),
        ("NEAR_BYTES", 0),
        ("NEAR_BYTES", 1.5),
        ("RETRY_INTERVAL", 0),
        ("METRICS_FLUSH_INTERVAL", -1),
        ("CODE_VERSION", None),
        ("CODE_VERSION", 3),
        ("VARIANT_LIMIT", 0),
        ("VARIANT_LIMIT", None),
        ("CACHE_STATUS", 1),
        ("CACHE_STATUS", "yes"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_its_key(name, value):
    with (
        configured(**{name: value}),
        pytest.raises(InvalidSetting, match="it must be") as caught,
    ):
        getattr(settings, name)
    assert f"CACHE_INVALIDATION[{name!r}] is {value!r}" in str(caught.value)


@pytest.mark.parametrize("label", [3, "", "sessions.", ".LogEntry", "shop.models.Product", "a b"])
def test_what_is_excluded_is_named_by_labels(label):
    with (
        configured(EXCLUDE=["sessions", label]),
        pytest.raises(InvalidSetting, match=r"neither the label of an app nor 'app\.Model'"),
    ):
        settings.EXCLUDE  # noqa: B018


def test_what_refreshes_is_named_by_a_path_that_leads_to_it():
    with configured(REFRESH="nothing.like.it"), pytest.raises(InvalidSetting, match="imported"):
        assert settings.REFRESH
    with configured(REFRESH="json.dumps"):
        assert settings.REFRESH == "json.dumps"


def test_a_bad_value_does_not_spoil_the_other_keys():
    with configured(FENCE_TIMEOUT="soon", LOCK_TIMEOUT=2):
        assert settings.LOCK_TIMEOUT == 2


def test_a_bad_value_is_an_error_of_configuration_and_of_this_package():
    assert issubclass(InvalidSetting, ImproperlyConfigured)
    assert issubclass(InvalidSetting, CacheInvalidationError)


def test_every_setting_is_known_to_these_tests():
    assert {setting.name for setting in declared()} == set(DEFAULTS)
    assert Settings.CACHE.name == "CACHE"
