"""System checks of what is decorated with `cache_page`."""

import pytest
from django.core.checks import Error, Warning
from django.test import override_settings

from cache_invalidation.middleware import CachePageMiddleware
from tests.checks.reporting import only, reported

pytestmark = pytest.mark.django_db(databases="__all__")

OURS = "cache_invalidation.middleware.CachePageMiddleware"
OTHER = "django.middleware.common.CommonMiddleware"


class Refined(CachePageMiddleware):
    """A project may have its own."""


with_pages = override_settings(ROOT_URLCONF="tests.shop.urls")


@with_pages
@override_settings(MIDDLEWARE=[OTHER])
def test_e017_pages_without_the_middleware():
    assert OURS in str(only(reported(), Error, "E017").hint)


@with_pages
@override_settings(MIDDLEWARE=[OTHER, OURS])
def test_w025_a_middleware_that_is_not_the_first():
    assert OURS in only(reported(), Warning, "W025").msg


@with_pages
@pytest.mark.parametrize("path", [OURS, f"{__name__}.Refined"])
def test_the_first_is_where_it_belongs(path: str):
    with override_settings(MIDDLEWARE=[path, OTHER]):
        assert reported() == []
