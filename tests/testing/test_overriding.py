"""`override_rules`: other rules for a block, a function, a method or a class of tests."""

import unittest

import pytest
from asgiref.sync import async_to_sync
from django.test import SimpleTestCase

from cache_invalidation import ModelInvalidation, explain, registry
from cache_invalidation.testing import override_rules
from tests.testapp.models import Category, Product


class First(ModelInvalidation):
    tags = ["first"]


class Second(ModelInvalidation):
    tags = ["second"]


def extra_tags() -> frozenset[str]:
    """Return which of the rules above is in force for products."""
    return explain(Product).tags & {"first", "second"}


def test_a_block_replaces_rules_and_puts_them_back():
    with override_rules({Product: First, Category: Second}):
        assert extra_tags() == {"first"}
        with override_rules({Product: Second}):
            assert extra_tags() == {"second"}
        with override_rules({Product: None}):
            assert extra_tags() == set()
        assert extra_tags() == {"first"}
        assert "second" in explain(Category).tags
    assert extra_tags() == set()
    assert not registry.rules.keys() & {Product, Category}


def test_rules_are_put_back_if_the_block_raises():
    with pytest.raises(ZeroDivisionError), override_rules({Product: First}):
        raise ZeroDivisionError
    assert extra_tags() == set()


def test_of_several_rules_none_is_replaced_if_one_cannot_be():
    not_a_rule: type = dict
    with pytest.raises(TypeError), override_rules({Product: First, Category: not_a_rule}):
        pass
    assert extra_tags() == set()


def test_functions_are_decorated_even_if_they_call_themselves():
    @override_rules({Product: First})
    def check(depth):
        if depth:
            check(depth - 1)
        assert extra_tags() == {"first"}

    check(2)
    assert extra_tags() == set()


def test_coroutine_functions_are_decorated():
    @override_rules({Product: First})
    async def check():
        return extra_tags()

    assert async_to_sync(check)() == {"first"}
    assert extra_tags() == set()


@override_rules({Product: First})
class DecoratedTests(SimpleTestCase):
    def setUp(self) -> None:
        self.tags_in_set_up = extra_tags()
        self.addCleanup(self.check)

    def check(self) -> None:
        assert extra_tags() == {"first"}

    def test_that_the_rule_is_in_force(self) -> None:
        assert self.tags_in_set_up == {"first"}
        assert extra_tags() == {"first"}

    @override_rules({Product: Second})
    def test_that_a_method_has_a_rule_of_its_own(self) -> None:
        assert extra_tags() == {"second"}


def test_after_each_test_of_a_class_the_rules_are_put_back():
    result = unittest.TestResult()
    tests = unittest.defaultTestLoader.loadTestsFromTestCase(DecoratedTests)
    tests.run(result)
    assert (result.testsRun, result.failures, result.errors) == (2, [], [])
    assert extra_tags() == set()


def test_classes_without_set_up_are_refused():
    with pytest.raises(TypeError):
        override_rules({Product: First})(Product)
