"""System checks of tracked keys."""

import pytest
from django.conf import settings as django_settings
from django.core.checks import Error, Info, Warning
from django.test import override_settings
from django.urls import path
from django.views.decorators.cache import cache_page

from cache_invalidation import ModelInvalidation, registry
from tests.checks.reporting import ids, only, reported
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(databases="__all__")

OURS = "cache_invalidation.backends.LocMemCache"
DJANGOS = "django.core.cache.backends.locmem.LocMemCache"


def with_cache(backend, /, **options):
    default = {"BACKEND": backend, "LOCATION": "checked", "OPTIONS": options}
    return override_settings(CACHES={**django_settings.CACHES, "default": default})


@pytest.mark.parametrize("value", ["product:*", [1], {"a": 1}, 5, [""]])
@pytest.mark.parametrize("name", ["TRACK", "BLIND", "NEAR"])
def test_e021_what_is_no_list_of_patterns(name, value):
    with with_cache(OURS, **{"TRACK": ["a:*"], name: value}):
        assert repr(value) in only(reported(), Error, "E021").msg


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("TRACKS", "TRACK"),
        ("track", "TRACK"),
        ("TRAK", "TRACK"),
        ("BLINDS", "BLIND"),
        ("near", "NEAR"),
    ],
)
def test_e021_what_is_nearly_the_name_of_an_option(wrong, meant):
    with with_cache(OURS, **{"TRACK": ["a:*"], "MAX_ENTRIES": 9, wrong: ["product:*"]}):
        found = only(reported(), Error, "E021")
    assert repr(wrong) in found.msg
    assert repr(meant) in str(found.hint)
    with with_cache(DJANGOS, **{wrong: ["product:*"]}):
        assert "E021" not in ids(reported())


def test_w029_a_cache_that_could_track_and_does_not():
    with with_cache(OURS):
        assert "'default'" in only(reported(), Warning, "W029").msg
        with registry.override(Product, Keys):
            assert "W029" not in ids(reported())
    for backend, options in ((OURS, {"TRACK": ["a:*"]}), (DJANGOS, {})):
        with with_cache(backend, **options):
            assert "W029" not in ids(reported())


class Keys(ModelInvalidation):
    keys = ["product:{pk}"]


@pytest.mark.parametrize("blind", [True, False, [], ["a:*"]])
def test_what_may_be_blind(blind):
    with with_cache(OURS, TRACK=["a:*"], BLIND=blind):
        assert not [each for each in reported() if str(each.id)[-4:] in ("E021", "E022", "W027")]


@pytest.mark.parametrize("name", ["TRACK", "NEAR"])
def test_e022_a_backend_that_tracks_nothing(name):
    with with_cache(DJANGOS, **{name: ["a:*"]}):
        assert "'default'" in only(reported(), Error, "E022").msg


def test_e022_a_cache_that_is_not_that_of_the_app():
    with with_cache(OURS, TRACK=["a:*"]), override_settings(CACHE_INVALIDATION={"CACHE": "locmem"}):
        assert "'locmem'" in str(only(reported(), Error, "E022").hint)


def test_w032_a_pattern_of_near_that_matches_nothing_that_is_tracked():
    with with_cache(OURS, TRACK=["a:*"], NEAR=["a:*", "a:b*", "product:*"]):
        (found,) = (each for each in reported() if each.id == "cache_invalidation.W033")
        assert "'product:*'" in found.msg
        with registry.override(Product, Keys):
            assert "W033" not in ids(reported())


@pytest.mark.parametrize("glob", ["*", "django.contrib.sessions.*", "throttle_*"])
def test_w027_keys_that_are_not_made_from_what_was_read(glob):
    with with_cache(OURS, TRACK=[glob]):
        found = [each for each in reported() if each.id == "cache_invalidation.W027"]
    assert found
    assert all(isinstance(each, Warning) and repr(glob) in each.msg for each in found)


class Patterns(ModelInvalidation):
    patterns = ["product:{pk}:*", "*-{pk}"]


@pytest.mark.parametrize(
    ("backend", "shown"), [(DJANGOS, "*-{pk}, product:{pk}:*"), (OURS, "*-{pk} of")]
)
def test_i004_patterns_that_take_a_scan(backend, shown):
    with with_cache(backend), registry.override(Product, Patterns):
        found = reported(include_deployment_checks=True)
    assert shown in only([each for each in found if "I004" in str(each.id)], Info, "I004").msg


def view(request):
    """A page."""


class Urls:
    urlpatterns = [path("", cache_page(60)(view))]


@override_settings(ROOT_URLCONF=Urls)
def test_i005_pages_of_django_that_are_tracked():
    with with_cache(OURS, TRACK=["views.decorators.cache.*"]):
        found = reported()
    assert "tests.checks.test_tracking.view" in only(found, Info, "I005").msg
    assert not [each for each in found if "W014" in str(each.id)]
