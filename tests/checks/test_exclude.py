"""System checks about what nobody watches."""

from typing import Any

import pytest
from django.core.checks import CheckMessage

from cache_invalidation import ModelInvalidation, registry
from cache_invalidation.checks.settings import check_exclude
from tests.checks.reporting import ours
from tests.testapp.models import Product, ProductProxy


def ids(messages: list[CheckMessage]) -> list[str | None]:
    return [message.id for message in messages]


def test_the_default_is_fine_in_every_project(settings: Any):
    settings.INSTALLED_APPS = ["cache_invalidation"]
    assert ours(check_exclude()) == []


@pytest.mark.parametrize("label", ["testapp", "testapp.Product", "TESTAPP.product"])
def test_apps_and_models_can_be_named_in_any_case(settings: Any, label: str):
    settings.CACHE_INVALIDATION = {"EXCLUDE": [label]}
    assert check_exclude() == []


@pytest.mark.parametrize("label", ["shop", "testapp.Prodcut"])
def test_w004_what_is_not_there(settings: Any, label: str):
    settings.CACHE_INVALIDATION = {"EXCLUDE": ["sessions", label]}
    [message] = check_exclude()
    assert message.id == "cache_invalidation.W004"
    assert repr(label) in message.msg


@pytest.mark.parametrize("label", ["testapp", "testapp.Product"])
@pytest.mark.parametrize("model", [Product, ProductProxy])
def test_w005_a_rule_that_never_fires(settings: Any, label: str, model: Any):
    settings.CACHE_INVALIDATION = {"EXCLUDE": [label]}
    with registry.override(model, ModelInvalidation):
        assert ids(check_exclude()) == ["cache_invalidation.W005"]
    assert check_exclude() == []


def test_settings_that_make_no_sense_are_reported_by_others(settings: Any):
    settings.CACHE_INVALIDATION = {"EXCLUDE": "sessions"}
    assert check_exclude() == []
