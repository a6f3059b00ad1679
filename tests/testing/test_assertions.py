"""`assert_invalidates` and `assert_not_invalidates`: what counts, and what a failure says."""

from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone
from model_bakery import baker

from cache_invalidation import ModelInvalidation, cached, invalidate
from cache_invalidation.testing import assert_invalidates, assert_not_invalidates, override_rules
from tests.testapp.models import Category, Product, ProductProxy, Tag

pytestmark = pytest.mark.django_db


@pytest.fixture
def product() -> Product:
    made: Product = baker.make(Product)
    return made


def text_of(failure: pytest.ExceptionInfo[AssertionError]) -> list[str]:
    return str(failure.value).splitlines()


STALE: Any = [
    # What is asserted, and one of the tags that each make it stale.
    ("category:3", ["category:3"]),
    ("category:3", ["category:*"]),
    ("category:3", ["*"]),
    ("homepage", ["homepage"]),
    ("homepage", ["*"]),
    ("category:*", ["category:*"]),
    (Tag, ["testapp.tag"]),
    (Tag, ["*"]),
    (Tag(pk=3), ["testapp.tag:3"]),
    (Tag(pk=3), ["testapp.tag:*"]),
    (Tag(pk=3), ["*"]),
]
FRESH: Any = [
    ("category:3", ["category:4"]),
    ("category:3", ["category"]),
    ("category:3", ["category:3:en"]),
    ("category:*", ["category:3"]),
    # Whoever depends on the model does not depend on each of its rows.
    (Tag, ["testapp.tag:3"]),
    (Tag, ["testapp.tag:*"]),
    (Tag(pk=3), ["testapp.tag"]),
    (Tag(pk=3), ["testapp.tag:33"]),
]


@pytest.mark.parametrize(("target", "tags"), STALE)
def test_a_target_is_stale_with_every_tag_that_what_depends_on_it_depends_on(target, tags):
    with assert_invalidates(target):
        invalidate(tags=tags)
    with pytest.raises(AssertionError), assert_not_invalidates(target):
        invalidate(tags=tags)


@pytest.mark.parametrize(("target", "tags"), FRESH)
def test_a_target_is_not_stale_with_other_tags(target, tags):
    with assert_not_invalidates(target):
        invalidate(tags=tags)
    with pytest.raises(AssertionError), assert_invalidates(target):
        invalidate(tags=tags)


def test_saving_an_instance_makes_it_and_its_model_stale_and_no_other(product):
    other = baker.make(Product)
    with assert_invalidates(product, Product, ProductProxy, ProductProxy(pk=product.pk)):
        product.save()
    with assert_not_invalidates(other, Category):
        product.save()


def test_an_update_of_unknown_rows_makes_each_of_them_stale(product):
    with assert_invalidates(product, Product):
        Product.objects.update(name="New")


def test_an_instance_may_be_saved_or_deleted_by_the_block(product):
    tag = Tag(name="a")
    with assert_invalidates(tag, product):
        tag.save()
        product.delete()


def test_an_instance_that_is_never_saved_has_no_tag():
    with pytest.raises(ValueError, match="is not saved"), assert_invalidates(Tag()):
        pass


def test_keys_are_stale_by_themselves_and_with_patterns_that_match_them():
    with assert_invalidates(keys=["list:3:1", "list:[4]:1", "a"], patterns=["list:3:*"]):
        invalidate(keys=["a"], patterns=["list:3:*", r"list:\[4\]:*"])
    with assert_not_invalidates(keys=["list:4:1", "LIST:3:1"], patterns=["list:*"]):
        invalidate(keys=["list:4"], patterns=["list:3:*"])
    with (
        pytest.raises(AssertionError, match="key     list:3:1"),
        assert_not_invalidates(keys=["list:3:1"]),
    ):
        invalidate(patterns=["list:3:*"])


def test_without_targets_nothing_may_be_invalidated(product):
    with assert_not_invalidates():
        Product.objects.get(pk=product.pk)


@pytest.mark.parametrize("kind", ["tags", "keys", "patterns"])
def test_without_targets_anything_that_is_invalidated_is_a_failure(kind):
    name: Any = {kind: ["a"]}
    with pytest.raises(AssertionError), assert_not_invalidates():
        invalidate(**name)


def test_without_targets_a_call_that_is_dropped_is_a_failure():
    @cached(name="page")
    def page():
        return 1

    with pytest.raises(AssertionError, match="entry   page"), assert_not_invalidates():
        page.invalidate()


def test_a_missing_target_is_named_along_with_what_was_invalidated_instead(product):
    class Rule(ModelInvalidation):
        keys = ["detail:{pk}"]

    with (
        override_rules({Product: Rule}),
        pytest.raises(AssertionError) as failure,
        assert_invalidates("category:3", product, tags=["b"], keys=["k"], patterns=["p:*"]),
    ):
        product.save()
    assert text_of(failure) == [
        "Not invalidated:",
        "  tag     category:3",
        "  tag     b",
        "  key     k",
        "  pattern p:*",
        "Invalidated instead:",
        "  tag     testapp.product",
        f"  tag     testapp.product:{product.pk}",
        f"  key     detail:{product.pk}",
        "Causes: update (1)",
        "What a write invalidates, and by which rule: explain(instance).",
    ]


def test_a_stale_target_is_named_along_with_everything_that_was_invalidated():
    with pytest.raises(AssertionError) as failure, assert_not_invalidates("category:3", "b"):
        invalidate(tags=["category:*", "a"])
    assert text_of(failure)[:5] == [
        "Invalidated, and should not be:",
        "  tag     category:3",
        "All that was invalidated:",
        "  tag     a",
        "  tag     category:*",
    ]


def test_a_block_without_any_write_is_told_so():
    said = "Invalidated instead:\n  nothing at all"
    with pytest.raises(AssertionError, match=said), assert_invalidates("a"):
        pass


def test_a_model_that_nobody_watches_is_told():
    session = Session(pk="a", session_data="", expire_date=timezone.now())
    said = r"Nobody watches sessions\.Session"
    with pytest.raises(AssertionError, match=said), assert_invalidates(session):
        session.save()


def test_what_the_block_raises_is_not_replaced_by_a_failure():
    with pytest.raises(ZeroDivisionError), assert_invalidates("a"):
        raise ZeroDivisionError


def test_the_block_gives_what_was_captured(product):
    with assert_invalidates(product) as captured:
        product.save()
    assert captured.causes == {"update": 1}


def test_what_is_rolled_back_does_not_count():
    with assert_not_invalidates(), pytest.raises(ZeroDivisionError), transaction.atomic():
        invalidate(tags=["a"])
        raise ZeroDivisionError


@pytest.mark.django_db(databases=["default", "other"])
def test_only_writes_to_the_database_asked_for_count():
    with assert_not_invalidates("a", using="default"), assert_invalidates("a", using="other"):
        invalidate(tags=["a"], using="other")


@pytest.mark.parametrize("target", [None, 3, dict, len, Product.objects, ["a"]])
def test_other_targets_are_refused(target):
    with pytest.raises(TypeError, match="What can be invalidated is"):
        assert_invalidates(target)


def test_names_that_cannot_be_tags_are_refused():
    with pytest.raises(ValueError, match="no pattern"):
        assert_invalidates("category:4*")
    with pytest.raises(ValueError, match="must not be empty"):
        assert_invalidates("")
    with pytest.raises(ValueError, match="must be a list"):
        assert_not_invalidates(keys="abc")


def test_something_has_to_be_asserted():
    with pytest.raises(TypeError, match="needs to know"):
        assert_invalidates()
