"""The registry: what may be declared, how it is found, how it is undone."""

import os
import subprocess
import sys
from textwrap import dedent
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.dispatch import Signal

from cache_invalidation import Event, ModelInvalidation, on_event, register, registry
from cache_invalidation.exceptions import AlreadyRegistered, NotRegistered
from cache_invalidation.registry import Registry
from tests.testapp.models import Place, Product, ProductProxy, Restaurant, Unregistered


class ProductRule(ModelInvalidation):
    tags = ["homepage"]


class OtherRule(ModelInvalidation):
    tags = ["elsewhere"]


@pytest.fixture
def rules() -> Registry:
    """A registry of its own, which no signal hangs on."""
    return Registry()


def declared(rules: Registry, model: Any) -> set[type[ModelInvalidation]]:
    plan = rules.plan(model)
    return {type(rule.declaration) for rule in plan.own + plan.inherited}


def test_a_model_without_a_rule_has_an_empty_plan(rules):
    assert not rules.plan(Product)


def test_a_registered_rule_is_fired_by_writes_to_its_model_only(rules):
    rules.register(Product, ProductRule)
    assert declared(rules, Product) == {ProductRule}
    assert not rules.plan(Place)


def test_a_rule_for_a_proxy_or_for_its_table_is_fired_by_writes_to_both(rules):
    rules.register(ProductProxy, ProductRule)
    rules.register(Product, OtherRule)
    assert declared(rules, Product) == declared(rules, ProductProxy) == {ProductRule, OtherRule}


def test_rules_of_parents_and_of_children_are_fired_by_writes_to_either(rules):
    rules.register(Place, ProductRule)
    rules.register(Restaurant, OtherRule)
    assert declared(rules, Place) == declared(rules, Restaurant) == {ProductRule, OtherRule}


def test_a_second_rule_for_a_model_is_refused_and_the_first_named(rules):
    rules.register(Product, ProductRule)
    with pytest.raises(AlreadyRegistered, match=r"testapp\.Product.*ProductRule"):
        rules.register(Product, OtherRule)
    assert declared(rules, Product) == {ProductRule}


@pytest.mark.parametrize("model", ["testapp.Product", Product(), int, None])
def test_only_model_classes_can_be_registered(rules, model):
    with pytest.raises(TypeError, match="model classes"):
        rules.register(model, ProductRule)


def test_an_abstract_model_has_no_table_to_watch(rules):
    with pytest.raises(TypeError, match="AbstractUser has no table"):
        rules.register(AbstractUser, ProductRule)


@pytest.mark.parametrize("rule", [object, ProductRule(Product), "rule"])
def test_only_subclasses_of_model_invalidation_are_rules(rules, rule):
    with pytest.raises(TypeError, match="subclass of ModelInvalidation"):
        rules.register(Product, rule)
    assert not rules.plan(Product)


def test_an_unregistered_rule_is_fired_no_more(rules):
    rules.register(Product, ProductRule)
    rules.unregister(Product)
    assert not rules.plan(Product)
    with pytest.raises(NotRegistered, match=r"testapp\.Product"):
        rules.unregister(Product)


def test_an_override_replaces_the_rule_and_restores_it(rules):
    rules.register(Product, ProductRule)
    with rules.override(Product, OtherRule):
        assert declared(rules, Product) == {OtherRule}
        with rules.override(Product, None):
            assert not rules.plan(Product)
        assert declared(rules, Product) == {OtherRule}
    assert declared(rules, Product) == {ProductRule}


def test_an_override_restores_the_rule_when_the_block_raises(rules):
    with pytest.raises(RuntimeError), rules.override(Product, OtherRule):
        raise RuntimeError
    assert not rules.plan(Product)


def test_an_override_with_something_else_than_a_rule_leaves_the_old_one(rules):
    rules.register(Product, ProductRule)
    with pytest.raises(TypeError), rules.override(Product, object):
        pytest.fail("The block was entered.")
    assert declared(rules, Product) == {ProductRule}


def test_an_implied_model_gives_way_to_a_rule_that_is_declared_later(rules):
    rules.imply(Product)
    assert declared(rules, Product) == {ModelInvalidation}
    rules.register(Product, ProductRule)
    assert declared(rules, Product) == {ProductRule}
    rules.imply(Product)
    assert declared(rules, Product) == {ProductRule}


def test_an_override_undoes_what_was_implied_in_its_block_and_restores_what_was_before(rules):
    rules.imply(Place)
    with rules.override(Product, None), rules.override(Place, OtherRule):
        rules.imply(Product)
        assert rules.implied == {Product}
    assert rules.implied == {Place}
    assert not rules.plan(Product)


def test_an_implied_proxy_stands_for_its_table(rules):
    rules.imply(ProductProxy)
    rules.imply(Product)
    assert len(rules.rules) == 1
    assert rules.plan(Product)


def test_an_implied_child_is_watched_although_its_parent_has_a_rule(rules):
    rules.register(Place, ProductRule)
    rules.imply(Restaurant)
    assert declared(rules, Restaurant) == {ProductRule, ModelInvalidation}


def test_a_tag_that_is_spelled_like_a_model_implies_it(rules):
    rules.imply_tag("testapp.unregistered:{pk}")
    assert rules.plan(Unregistered)


@pytest.mark.parametrize("tag", ["homepage", "category:3", "shop.nothing", "a.b.c:1", "testapp."])
def test_any_other_tag_implies_nothing(rules, tag):
    rules.imply_tag(tag)
    assert not rules.rules


def test_the_decorator_registers_for_several_models_and_returns_the_rule():
    with registry.override(Product, None), registry.override(Place, None):
        assert register(Product, Place)(ProductRule) is ProductRule
        assert registry.rules[Product].declaration.model is Product
        assert registry.rules[Place].declaration.model is Place


def test_the_decorator_needs_a_model():
    with pytest.raises(TypeError, match="at least one model"):
        register()


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("user.updated", {"user.updated"}),
        ("user.*", {"user.updated", "user.created"}),
        ("*.updated", {"user.updated", "shop.updated", "User.updated"}),
        ("*", {"user.updated", "user.created", "shop.updated", "User.updated"}),
    ],
)
def test_a_subscriber_hears_the_events_that_its_name_or_wildcard_matches(rules, wanted, names):
    def subscriber(event: Event) -> None: ...

    rules.on_event(wanted, subscriber)
    published = ["user.updated", "user.created", "shop.updated", "User.updated"]
    assert {name for name in published if rules.subscribers_of(name)} == names


def test_subscribers_are_called_in_the_order_in_which_they_subscribed(rules):
    subscribers = [lambda event: None for _ in range(5)]
    for name, subscriber in zip(("a.*", "a.b", "*", "a.b", "*.b"), subscribers, strict=True):
        rules.on_event(name, subscriber)
    assert rules.subscribers_of("a.b") == subscribers
    rules.off_event(subscribers[0])
    assert rules.subscribers_of("a.b") == subscribers[1:]


@pytest.mark.parametrize("name", ["", None, 3, "x" * 251])
def test_an_event_needs_a_name(rules, name):
    with pytest.raises(ValueError, match="event name"):
        rules.on_event(name, lambda event: None)


def test_the_event_decorator_returns_the_function_and_takes_several_names():
    def subscriber(event: Event) -> None: ...

    try:
        assert on_event("a", "b.*")(subscriber) is subscriber
        assert subscriber in registry.subscribers_of("a")
        assert subscriber in registry.subscribers_of("b.c")
    finally:
        registry.off_event(subscriber)
    assert subscriber not in registry.subscribers_of("a")


def test_the_event_decorator_without_a_name_is_a_mistake_that_is_told_at_once():
    bare: Any = on_event
    with pytest.raises(TypeError, match="name of at least one event"):
        bare(lambda event: None)
    with pytest.raises(TypeError, match="name of at least one event"):
        bare()


def test_the_payload_of_an_event_is_read_as_attributes():
    event = Event(name="user.updated", payload={"user_id": 3})
    assert event.user_id == 3
    with pytest.raises(AttributeError, match=r"user\.updated.*carries no 'nope'"):
        _ = event.nope


def test_wires_are_listed_until_they_are_disconnected(rules):
    signal, other = Signal(), Signal()

    def handler(**kwargs: Any) -> None: ...

    rules.connect(signal, handler, sender=Product)
    rules.connect(other, handler)
    rules.disconnect(signal, handler)
    assert [(wire.signal, wire.handler) for wire in rules.wires] == [(other, handler)]


def test_rules_are_found_in_invalidation_modules_when_django_starts(tmp_path):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    rule = """
        from django.contrib.auth.models import User
        from cache_invalidation import ModelInvalidation, register

        @register(User)
        class UserInvalidation(ModelInvalidation):
            tags = ["found"]
    """
    (tmp_path / "shop" / "invalidation.py").write_text(dedent(rule))
    code = """
        import django
        from django.conf import settings
        apps = ["django.contrib.contenttypes", "django.contrib.auth", "cache_invalidation", "shop"]
        settings.configure(INSTALLED_APPS=apps)
        django.setup()
        from cache_invalidation import registry
        print(*(tag for rule in registry.rules.values() for tag in rule.declaration.tags))
    """
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", dedent(code)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert (found.stdout.strip(), found.stderr) == ("found", "")
