"""System checks: each mistake is named, with what to do about it."""

from copy import deepcopy
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning, run_checks
from django.core.management import call_command
from django.test import override_settings

from cache_invalidation import Change, ModelInvalidation, cached, registry
from cache_invalidation.checks import check_cache, check_rules
from cache_invalidation.stores.redis_connection import Server
from tests.testapp.models import Product, Unregistered

# Django's own checks ask the server for its version, once.
pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture(autouse=True)
def _nothing_misspelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget, until the test ends, what cached functions of other tests named in their tags."""
    monkeypatch.setattr(registry, "_misspelled", set())


def reported() -> list[CheckMessage]:
    """Return what this package has to say, of all the checks that Django runs."""
    return [m for m in run_checks() if str(m.id).startswith("cache_invalidation.")]


def reported_for(**attributes: Any) -> list[CheckMessage]:
    with registry.override(Product, type("ProductRule", (ModelInvalidation,), attributes)):
        return reported()


def configured(**values: Any) -> override_settings:
    return override_settings(CACHE_INVALIDATION=values)


def caches(**options: Any) -> dict[str, Any]:
    """Return CACHES with other options for the default cache."""
    changed: dict[str, Any] = deepcopy(django_settings.CACHES)
    location = options.pop("location", None)
    changed["default"]["LOCATION"] = location or changed["default"]["LOCATION"]
    changed["default"]["OPTIONS"].update(options)
    return changed


def only(messages: list[CheckMessage], kind: type[CheckMessage], number: str) -> CheckMessage:
    """Return the one message there is, after a look at its kind and id."""
    (message,) = messages
    assert type(message) is kind
    assert message.id == f"cache_invalidation.{number}"
    assert message.hint
    return message


def test_nothing_is_wrong_with_the_settings_of_the_tests():
    assert reported() == []
    call_command("check", verbosity=0)


def test_every_key_may_be_given():
    values = {"CACHE": "zlib", "CONSISTENCY": "commit", "DEFAULT_TIMEOUT": None, "REPLICA_LAG": 2}
    with configured(**values):
        assert reported() == []


@pytest.mark.parametrize("value", ["strict", "CACHE", ["CACHE"], 3, True, {"CACHE"}], ids=repr)
def test_e001_settings_that_are_no_dict(value):
    with override_settings(CACHE_INVALIDATION=value):
        message = only(reported(), Error, "E001")
    assert message.msg == f"CACHE_INVALIDATION is {value!r}, which is not a dict."
    assert "CACHE_INVALIDATION = {" in str(message.hint)


@pytest.mark.parametrize("key", ["CACHES", "cache", 3])
def test_e002_a_key_that_does_not_exist(key):
    with override_settings(CACHE_INVALIDATION={key: "default"}):
        message = only(reported(), Error, "E002")
    assert f"has a key {key!r}" in message.msg
    assert "FENCE_TIMEOUT" in str(message.hint)


def test_e003_a_value_of_the_wrong_type():
    with configured(FENCE_TIMEOUT="soon"):
        message = only(reported(), Error, "E003")
    assert message.msg == ("CACHE_INVALIDATION['FENCE_TIMEOUT'] is 'soon': it must be a number.")
    assert "10.0" in str(message.hint)


def test_e003_every_bad_value_is_reported_at_once():
    with configured(CACHE=None, LOCK_TIMEOUT=0, CONSISTENCY="never"):
        messages = reported()
    assert [message.id for message in messages] == ["cache_invalidation.E003"] * 3
    assert "'strict', 'commit'" in " ".join(message.msg for message in messages)


def test_e004_a_cache_that_does_not_exist():
    with configured(CACHE="nope"):
        message = only(reported(), Error, "E004")
    assert "'nope'" in message.msg
    assert "default, locmem" not in message.msg
    assert all(alias in str(message.hint) for alias in django_settings.CACHES)


def test_e004_a_cache_whose_backend_cannot_be_imported():
    broken = {**django_settings.CACHES, "broken": {"BACKEND": "nowhere.Cache"}}
    # Not by run_checks(): a check of Django's own stumbles over such a cache.
    with override_settings(CACHES=broken), configured(CACHE="broken"):
        message = only(check_cache(), Error, "E004")
    assert "'broken'" in message.msg


@pytest.mark.parametrize(
    ("info", "found"),
    [
        ("redis_version:6.2.14\r\n", "Redis 6.2.14"),
        ("redis_version:7.2.4\r\nvalkey_version:7.1.9\r\n", "Valkey 7.1.9"),
    ],
)
def test_e005_a_server_that_is_too_old(info, found, monkeypatch):
    learn = Server.learn
    monkeypatch.setattr(Server, "learn", lambda self, _: learn(self, f"{info}run_id:1234\r\n"))
    message = only(reported(), Error, "E005")
    assert "'default'" in message.msg
    assert found in message.msg
    assert "Redis 7.0 or Valkey 7.2" in message.msg
    assert "Upgrade" in str(message.hint)


def test_a_server_that_is_down_is_no_mistake_in_the_project(tmp_path):
    with override_settings(CACHES=caches(location=f"unix://{tmp_path}/nobody.sock")):
        assert reported() == []


@pytest.mark.parametrize("kind", ["tags", "keys", "patterns"])
@pytest.mark.parametrize("source", ["a:{b.c}", "a:{b", "a\nb", ""])
def test_e006_a_template_that_cannot_be_understood(kind, source):
    message = only(reported_for(**{kind: [source]}), Error, "E006")
    assert repr(source) in message.msg
    assert message.obj.__name__ == "ProductRule"
    assert "ProductRule" in str(message.hint)


@pytest.mark.parametrize(
    ("attributes", "problem"),
    [
        ({"tags": ["{slug}"]}, "literal family"),
        ({"patterns": ["*"]}, "every key"),
        ({"tags": "homepage"}, "list"),
        ({"keys": "front"}, "list"),
        ({"tags": None}, "list"),
        ({"tags": [3]}, "must be a string"),
    ],
)
def test_e006_a_declaration_of_the_wrong_shape(attributes, problem):
    message = only(reported_for(**attributes), Error, "E006")
    assert problem in f"{message.msg} {message.hint}"


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("nope", "testapp.Product has no field or property 'nope'"),
        ("category__nope", "testapp.Category has no field or property 'nope'"),
        ("tags__name", "has many values"),
        ("name__x", "not a relation"),
    ],
)
def test_e007_a_template_that_names_what_the_model_does_not_have(path, problem):
    message = only(reported_for(tags=[f"a:{{{path}}}"]), Error, "E007")
    assert f"The tag 'a:{{{path}}}' names {path!r}" in message.msg
    assert problem in message.msg
    assert message.obj.__name__ == "ProductRule"
    assert "testapp.Product" in str(message.hint)


def test_e007_names_every_bad_placeholder_of_every_template():
    messages = reported_for(tags=["a:{no}:{nope}"], keys=["b:{pk}:{never}"])
    assert [message.id for message in messages] == ["cache_invalidation.E007"] * 3


def test_e007_a_property_may_be_named(monkeypatch):
    shelf = property(lambda self: self.stock)
    monkeypatch.setattr(Product, "shelf", shelf, raising=False)
    assert reported_for(tags=["a:{shelf}"], keys=["b:{category__slug}"]) == []


def test_e008_a_field_that_the_model_does_not_have():
    message = only(reported_for(fields=["name", "nope"]), Error, "E008")
    assert message.msg == "fields names 'nope', but testapp.Product has no such field."
    assert message.obj.__name__ == "ProductRule"


@pytest.mark.parametrize("names", [["name", "category", "slug", "stock"], ["category_id"], ["id"]])
def test_fields_whose_values_a_query_spells_as_an_instance_does_may_be_tracked(names):
    assert reported_for(track=names) == []


def test_e008_a_tracked_field_that_the_model_does_not_have():
    message = only(reported_for(track=["name", "nope"]), Error, "E008")
    assert message.msg == "track names 'nope', but testapp.Product has no such field."
    assert message.obj.__name__ == "ProductRule"


@pytest.mark.parametrize(
    "name",
    [
        "price",
        "created",
        "tags",
        "reviews",
    ],
)
def test_e009_a_tracked_field_whose_values_a_query_does_not_tell(name):
    message = only(reported_for(track=[name]), Error, "E009")
    assert f"track names {name!r}" in message.msg
    assert message.obj.__name__ == "ProductRule"


def test_a_rule_made_of_code_is_not_run_by_the_checks():
    class Rule(ModelInvalidation):
        def get_tags(self, change: Change) -> list[str]:
            raise AssertionError

    with registry.override(Product, Rule):
        assert check_rules() == []


@pytest.mark.parametrize(
    ("socket_timeout", "fence_timeout", "expected"), [(30, 10, 1), (10, 10, 0), (5, 3, 1)]
)
def test_w001_reads_that_may_wait_longer_than_a_fence_lasts(
    socket_timeout, fence_timeout, expected
):
    slow = caches(SOCKET_TIMEOUT=socket_timeout)
    with override_settings(CACHES=slow), configured(FENCE_TIMEOUT=fence_timeout):
        messages = reported()
    assert len(messages) == expected
    if expected:
        message = only(messages, Warning, "W001")
        assert f"{fence_timeout} s" in message.msg
        assert "'default'" in message.msg


def test_a_cache_without_options_has_no_time_limit_to_judge():
    plain = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    with override_settings(CACHES=plain):
        assert reported() == []


def page(): ...


@pytest.mark.parametrize("tags", [Unregistered, "testapp.unregistered:3"])
def test_a_model_that_only_cached_functions_name_is_nobodys_mistake(tags):
    assert Unregistered not in registry.rules
    cached(tags=tags)(page)
    assert reported() == []


@pytest.mark.parametrize("tag", ["testapp.prodct", "testapp.prodct:3"])
def test_w003_a_tag_that_looks_like_that_of_a_model_which_does_not_exist(tag):
    cached(tags=[tag])(page)
    assert "'testapp.prodct'" in only(reported(), Warning, "W003").msg


@pytest.mark.parametrize("tag", ["homepage", "no.such.app:3", "nowhere.page", "testapp:3"])
def test_a_tag_that_does_not_look_like_that_of_a_model_is_nobodys_mistake(tag):
    cached(tags=[tag])(page)
    assert reported() == []
