"""System checks of ``QUERIES``."""

from typing import Any

import pytest
from django.core.checks import Error

from tests.checks.reporting import configured, ids, only, reported

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.mark.parametrize(
    "pattern", ["*", "testapp.*", "testapp.Product", "TESTAPP.product", "testapp.Product_tags"]
)
def test_what_names_a_model(pattern: str) -> None:
    with configured(QUERIES={pattern: 60}):
        assert reported() == []


@pytest.mark.parametrize("pattern", ["shop.*", "testapp.Prodcut", "rest_framework.*"])
def test_e020_what_names_none(pattern: str) -> None:
    with configured(QUERIES={pattern: 60, "testapp.Product": None}):
        assert repr(pattern.lower()) in only(reported(), Error, "E020").msg


@pytest.mark.parametrize("value", [{"testapp.*": 0}, {"testapp": 60}, ["testapp.*"], 60])
def test_e003_what_cannot_be_used(value: Any) -> None:
    with configured(QUERIES=value):
        assert ids(reported()) == ["E003"]
