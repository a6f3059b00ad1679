"""System checks of what `invalidation.py` declares."""

from typing import Any

import pytest
from django.core.checks import CheckMessage, Error

from cache_invalidation import Change, ModelInvalidation, registry
from cache_invalidation.checks.rules import check_patterns, check_rules
from tests.checks.reporting import configured, only, reported, with_cache
from tests.testapp.models import Category, Product

# Django's own checks ask the server for its version, once.
pytestmark = pytest.mark.django_db(databases="__all__")


def reported_for(**attributes: Any) -> list[CheckMessage]:
    with registry.override(Product, type("ProductRule", (ModelInvalidation,), attributes)):
        return reported()


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


@pytest.mark.parametrize("alias", ["redis_django", "dbcache"])
def test_e010_patterns_on_a_cache_that_cannot_list_its_keys(alias: str):
    rule = type("ProductRule", (ModelInvalidation,), {"patterns": ["a:{pk}:*"], "keys": ["b:{pk}"]})
    with configured(CACHE=alias), registry.override(Product, rule):
        message = only(check_patterns(), Error, "E010")
    assert "'a:{pk}:*'" in message.msg
    assert f"{alias!r} cannot list its keys" in message.msg
    assert message.obj is rule


@pytest.mark.parametrize("alias", ["redis_django", "dbcache"])
def test_tags_and_keys_are_fine_with_every_cache(alias: str):
    rule = type("ProductRule", (ModelInvalidation,), {"tags": ["a:{pk}"], "keys": ["b:{pk}"]})
    with configured(CACHE=alias), registry.override(Product, rule):
        assert check_patterns() == []


@pytest.mark.parametrize("alias", ["default", "zlib", "locmem"])
def test_patterns_are_fine_with_a_cache_that_lists_its_keys(alias: str):
    with configured(CACHE=alias):
        assert reported_for(patterns=["a:{pk}:*"]) == []


def digested(key: str, prefix: str, version: int) -> str:
    return f"{prefix}:{hash(key)}"


def turned_around(key: str, prefix: str, version: int) -> str:
    return f"{key}@{version}[{prefix}]"


def of_a_tenant(key: str, prefix: str, version: int) -> str:
    raise LookupError("Nobody has said which tenant it is.")


@pytest.mark.parametrize(
    ("function", "number"), [(digested, 1), (turned_around, 0), (of_a_tenant, 0)]
)
def test_e010_patterns_where_keys_are_called_otherwise(function: Any, number: int):
    rule = type("ProductRule", (ModelInvalidation,), {"patterns": ["a:*"]})
    backend = "django.core.cache.backends.locmem.LocMemCache"
    with (
        with_cache(BACKEND=backend, KEY_FUNCTION=function, KEY_PREFIX="[a]*"),
        registry.override(Product, rule),
    ):
        messages = check_patterns()
    assert ["KEY_FUNCTION" in message.msg for message in messages] == [True] * number


def test_e010_families_of_keys_are_patterns_as_well():
    rule = type("Rule", (ModelInvalidation,), {"families": ["a"], "get_keys": lambda *_: []})
    backend = "django.core.cache.backends.locmem.LocMemCache"
    with (
        with_cache(BACKEND=backend, KEY_FUNCTION=lambda key, *_: str(key.encode().hex())),
        registry.override(Product, rule),
    ):
        (message,) = check_patterns()
    assert "'a:*'" in message.msg


@pytest.mark.parametrize("option", ["fields", "track"])
def test_e008_one_name_is_no_list_of_names(option):
    message = only(reported_for(**{option: "stock"}), Error, "E008")
    assert message.msg == f"{option} is 'stock', which is no list of names."
    assert message.hint == f"Write {option} = ['stock']."


def test_one_name_that_is_no_list_is_taken_for_what_is_meant():
    class OfStock(ModelInvalidation):
        fields = "stock"
        track = "stock"

    with registry.override(Product, OfStock):
        (rule,) = registry.rules[Product]
        assert rule.fields == frozenset({"stock"})
        assert [column.name for column in rule.track] == ["stock"]


@pytest.mark.parametrize("wrong", [None, 3])
def test_e006_what_is_no_list_at_all(wrong):
    message = only(reported_for(tags=wrong), Error, "E006")
    assert message.msg == f"tags is {wrong!r}, which is no list of strings."


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *(("tag", "tags"), ("Tags", "tags"), ("key", "keys"), ("pattern", "patterns")),
        *(("field", "fields"), ("tracks", "track"), ("tracked", "track")),
        *(("entitytype", "entity_type"), ("get_tag", "get_tags"), ("get_key", "get_keys")),
    ],
)
def test_e016_an_attribute_that_is_misspelled(name, meant):
    message = only(reported_for(**{name: ["a"]}), Error, "E016")
    assert f"has an attribute {name!r}, which nobody looks at" in message.msg
    assert f"Did you mean {meant!r}?" in str(message.hint)


def test_an_attribute_of_the_projects_own_is_no_mistake():
    assert reported_for(_tag=["a"], shop="EUR", prices=[1], tags=["a"], describe=len) == []


def test_e016_looks_at_what_is_inherited_too():
    class Base(ModelInvalidation):
        tag = ("a",)

    class Child(Base):
        tags = ("b",)

    with registry.override(Product, Child), registry.override(Category, Child):
        only(reported(), Error, "E016")
