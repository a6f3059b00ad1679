"""`invalidate` refuses what cannot be meant, says what is wrong with it, and does nothing."""

from typing import Any

import pytest
from django.core.cache import cache
from django.utils.connection import ConnectionDoesNotExist

from cache_invalidation import explain, invalidate
from tests.delivered import delivered
from tests.testapp.models import Product


@pytest.mark.parametrize("kind", ["tags", "keys", "patterns"])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty"),
        ("  ", "empty"),
        (None, "must be a string"),
        (3, "must be a string"),
        (b"a", "must be a string"),
        ("x" * 251, "longer than 250"),
        ("a\nb", "control characters"),
        ("a\x00b", "control characters"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_named_and_nothing_is_done(kind, name, reason):
    names: Any = {kind: ["fine", name]}
    with delivered() as found, pytest.raises(ValueError, match=reason) as caught:
        invalidate(**names)
    assert repr(name) in str(caught.value)
    assert kind[:-1] in str(caught.value)
    assert found == []


@pytest.mark.parametrize("tag", ["category:4*", "home*", "a:1:*"])
def test_a_tag_is_no_pattern(tag):
    with delivered() as found, pytest.raises(ValueError, match="no pattern"):
        invalidate(tags=["fine", tag])
    assert found == []
    assert invalidate(tags=["category:*", "*"]).tags == {"category:*", "*"}


@pytest.mark.parametrize("act", [invalidate, explain])
def test_a_database_that_there_is_not_is_refused_before_anything_is_done(act, caplog):
    with pytest.raises(ConnectionDoesNotExist, match="nope"):
        act(Product, using="nope")
    assert caplog.records == []


def test_a_manager_is_refused_with_the_cure():
    with pytest.raises(TypeError, match=r"add \.all\(\)"):
        invalidate(Product.objects)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["tags", "keys", "patterns"])
def test_a_lone_string_is_refused(kind):
    names: Any = {kind: "homepage"}
    with pytest.raises(ValueError, match="list of strings"):
        invalidate(**names)


@pytest.mark.parametrize("pattern", ["*", "**"])
def test_a_pattern_that_matches_every_key_has_to_be_asked_for(pattern):
    cache.set("anything", 1)
    with pytest.raises(ValueError, match="everything=True"):
        invalidate(patterns=[pattern])
    assert cache.get("anything") == 1
    invalidate(patterns=[pattern], everything=True)
    assert cache.get("anything") is None


@pytest.mark.parametrize(
    "target", ["homepage", 3, pytest.param(object(), id="object()"), ["homepage"], int], ids=repr
)
def test_what_is_neither_model_nor_instance_nor_queryset_is_refused(target):
    with pytest.raises(TypeError, match=r"names go to tags=.*invalidate_page\(\)"):
        invalidate(target)


def test_an_instance_that_is_not_saved_is_refused():
    with pytest.raises(ValueError, match="not saved"):
        invalidate(Product(name="x"))


def test_a_call_without_anything_is_refused():
    with pytest.raises(ValueError, match="needs a model"):
        invalidate()


def test_several_targets_at_once_are_refused_with_what_to_do():
    with delivered() as found, pytest.raises(TypeError, match="one model, instance or queryset at"):
        invalidate(Product, Product)
    assert found == []
