"""The registry: what may be declared, how it is found, how it is undone."""

import os
import re
import subprocess
import sys
from textwrap import dedent
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import AbstractUser
from django.contrib.sessions.models import Session
from django.dispatch import Signal
from django.test import override_settings

from cache_invalidation import Event, ModelInvalidation, on_event, register, registry
from cache_invalidation.exceptions import AlreadyRegistered, NotRegistered
from cache_invalidation.rules.registry import Registry
from tests.testapp.models import Place, Product, ProductProxy, Restaurant, Unregistered


class ProductRule(ModelInvalidation):
    tags = ["homepage"]


class OtherRule(ModelInvalidation):
    tags = ["elsewhere"]


@pytest.fixture
def rules() -> Registry:
    """A registry of its own, which no signal hangs on."""
    return Registry()


def fired(rules: Registry, model: Any) -> set[type[ModelInvalidation]]:
    plan = rules.plan(model)
    return {type(rule.declaration) for rule in plan.own + plan.inherited}


def declared(rules: Registry, model: Any) -> set[type[ModelInvalidation]]:
    """Return what writes to `model` fire, less the rule that goes without saying."""
    return fired(rules, model) - {ModelInvalidation}


def test_a_model_without_a_rule_has_one_that_declares_nothing(rules):
    plan = rules.plan(Product)
    assert [(type(rule.declaration), rule.model) for rule in plan.own] == [
        (ModelInvalidation, Product)
    ]
    assert not plan.inherited
    assert not plan.needs_state
    assert plan.own[0].goes_without_saying
    assert not rules.rules


def test_a_proxy_without_a_rule_has_the_plan_of_its_table(rules):
    (rule,) = rules.plan(ProductProxy).own
    assert rule.model is Product


@pytest.mark.parametrize("exclude", ["testapp", "testapp.Product", "TESTAPP.product"])
def test_an_excluded_model_has_an_empty_plan_whatever_is_registered_for_it(exclude):
    with registry.override(Product, ProductRule):
        assert registry.plan(Product)
        with override_settings(CACHE_INVALIDATION={"EXCLUDE": [exclude]}):
            assert not registry.plan(Product)
            assert not registry.plan(ProductProxy)
        assert registry.plan(Product)


def test_what_nobody_caches_is_excluded_unless_told_otherwise():
    assert not registry.plan(Session)
    assert not registry.plan(LogEntry)
    with override_settings(CACHE_INVALIDATION={"EXCLUDE": []}):
        assert registry.plan(Session)
        assert registry.plan(LogEntry)


def test_an_excluded_child_leaves_its_parent_watched():
    with override_settings(CACHE_INVALIDATION={"EXCLUDE": ["testapp.Restaurant"]}):
        assert not registry.plan(Restaurant)
        plan = registry.plan(Place)
        assert Restaurant not in {rule.model for rule in plan.own + plan.inherited}
        assert Place in {rule.model for rule in plan.own}


def test_a_registered_rule_is_fired_by_writes_to_its_model_only(rules):
    rules.register(Product, ProductRule)
    assert fired(rules, Product) == {ProductRule}
    assert fired(rules, Place) == {ModelInvalidation}


def test_a_parent_with_a_rule_does_not_do_without_the_tags_of_its_child(rules):
    rules.register(Place, ProductRule)
    assert fired(rules, Restaurant) == {ProductRule, ModelInvalidation}
    assert {rule.model for rule in rules.plan(Restaurant).own} == {Place, Restaurant}


def test_a_rule_for_a_proxy_or_for_its_table_is_fired_by_writes_to_both(rules):
    rules.register(ProductProxy, ProductRule)
    rules.register(Product, OtherRule)
    assert declared(rules, Product) == declared(rules, ProductProxy) == {ProductRule, OtherRule}


def test_rules_of_parents_and_of_children_are_fired_by_writes_to_either(rules):
    rules.register(Place, ProductRule)
    rules.register(Restaurant, OtherRule)
    assert declared(rules, Place) == declared(rules, Restaurant) == {ProductRule, OtherRule}


def test_a_model_may_have_several_rules_in_the_order_of_registration(rules):
    rules.register(Product, ProductRule)
    rules.register(Product, OtherRule)
    assert declared(rules, Product) == {ProductRule, OtherRule}
    kinds = [type(rule.declaration) for rule in rules.rules[Product]]
    assert kinds == [ProductRule, OtherRule]
    assert list(rules.all_rules) == list(rules.rules[Product])


def test_one_of_several_rules_is_unregistered_or_all_of_them(rules):
    rules.register(Product, ProductRule)
    rules.register(Product, OtherRule)
    rules.unregister(Product, ProductRule)
    assert declared(rules, Product) == {OtherRule}
    with pytest.raises(NotRegistered, match="not the rule ProductRule"):
        rules.unregister(Product, ProductRule)
    rules.register(Product, ProductRule)
    rules.unregister(Product)
    assert fired(rules, Product) == {ModelInvalidation}
    assert not rules.rules


def test_an_override_replaces_all_rules_by_all_that_it_is_given(rules):
    class Third(ModelInvalidation):
        pass

    rules.register(Product, ProductRule)
    rules.register(Product, Third)
    with rules.override(Product, OtherRule, Third):
        assert declared(rules, Product) == {OtherRule, Third}
    assert declared(rules, Product) == {ProductRule, Third}


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
    assert fired(rules, Product) == {ModelInvalidation}


def test_an_unregistered_rule_is_fired_no_more(rules):
    rules.register(Product, ProductRule)
    rules.unregister(Product)
    assert fired(rules, Product) == {ModelInvalidation}
    with pytest.raises(NotRegistered, match=r"testapp\.Product"):
        rules.unregister(Product)


def test_an_override_replaces_the_rule_and_restores_it(rules):
    rules.register(Product, ProductRule)
    with rules.override(Product, OtherRule):
        assert declared(rules, Product) == {OtherRule}
        with rules.override(Product, None):
            assert fired(rules, Product) == {ModelInvalidation}
        assert declared(rules, Product) == {OtherRule}
    assert declared(rules, Product) == {ProductRule}


def test_an_override_restores_the_rule_when_the_block_raises(rules):
    with pytest.raises(RuntimeError), rules.override(Product, OtherRule):
        raise RuntimeError
    assert fired(rules, Product) == {ModelInvalidation}
    assert not rules.rules


def test_an_override_with_something_else_than_a_rule_leaves_the_old_one(rules):
    rules.register(Product, ProductRule)
    with pytest.raises(TypeError), rules.override(Product, object):
        pytest.fail("The block was entered.")
    assert declared(rules, Product) == {ProductRule}


def test_a_tag_that_is_spelled_like_a_model_is_not_misspelled(rules):
    rules.check_spelling("testapp.unregistered:{pk}", "page()")
    assert not rules.misspelled


@pytest.mark.parametrize("tag", ["homepage", "category:3", "shop.nothing", "a.b.c:1"])
def test_a_tag_that_is_not_spelled_like_that_of_a_model_is_nobodys_mistake(rules, tag):
    rules.check_spelling(tag, "page()")
    assert not rules.misspelled


@pytest.mark.parametrize("tag", ["testapp.prodct:{pk}", "testapp.", "testapp.Product"])
def test_a_tag_that_looks_like_that_of_a_model_which_does_not_exist_is_misspelled(rules, tag):
    rules.check_spelling(tag, "page()")
    assert rules.misspelled == {tag.partition(":")[0]: "page()"}


def test_checking_a_tag_declares_nothing(rules):
    rules.check_spelling("testapp.unregistered:{pk}", "page()")
    assert not rules.rules
    assert rules.plan(Unregistered).own[0].goes_without_saying


def test_the_decorator_registers_for_several_models_and_returns_the_rule():
    with registry.override(Product, None), registry.override(Place, None):
        assert register(Product, Place)(ProductRule) is ProductRule
        for model in (Product, Place):
            (rule,) = registry.rules[model]
            assert rule.declaration.model is model


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
        print(*(tag for rule in registry.all_rules for tag in rule.declaration.tags))
    """
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", dedent(code)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert (found.stdout.strip(), found.stderr) == ("found", "")


WRONG: list[tuple[Any, tuple[Any, ...], str]] = [
    (register, (ProductRule,), "write @register(Model)"),
    (register, (Product(),), "name its class, Product"),
    (register, ([Product],), "register(One, Another)"),
    (register, ("testapp.Product",), "import the model"),
    (register, (), "write @register(Model)"),
    (register(Product), (len,), "class MyRule(ModelInvalidation)"),
    (register(Product), (ProductRule(Product),), "register the class"),
    (Registry().register, (ProductRule, Product), "registry.register(Model, ProductRule)"),
    (on_event, (len,), 'write @on_event("name")'),
    (on_event, (), 'write @on_event("name")'),
    (on_event("a"), (3,), "3 cannot be called: a subscriber is a function of the event"),
    (Registry().connect, (len, len), "takes a signal and then its handler"),
    (Registry().connect, (Signal(), "a"), "'a' cannot be called: a handler is a function"),
]


@pytest.mark.parametrize(("declare", "arguments", "cure"), WRONG)
def test_what_is_declared_in_a_wrong_way_is_refused_with_the_cure(
    declare: Any, arguments: tuple[Any, ...], cure: str
):
    with pytest.raises(TypeError, match=re.escape(cure)):
        declare(*arguments)
    assert Product not in registry.rules


def test_the_same_rule_is_refused_a_second_time(rules):
    rules.register(Product, ProductRule)
    with pytest.raises(AlreadyRegistered, match=r"ProductRule is registered for testapp\.Product"):
        rules.register(Product, ProductRule)
    assert len(rules.rules[Product]) == 1
    rules.register(Place, ProductRule)
    with pytest.raises(NotRegistered, match=r"registry\.rules has all"):
        rules.unregister(Restaurant)
