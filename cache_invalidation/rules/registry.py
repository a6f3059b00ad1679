"""The central registry: which rules a write to a model fires, who listens to which event.

It is data. What turns it into connected signal receivers is `cache_invalidation.writes`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any, TypeVar

from django.apps import apps
from django.core.signals import setting_changed
from django.db.models import Model
from django.db.models.signals import class_prepared
from django.dispatch import Signal, receiver

from cache_invalidation.exceptions import AlreadyRegistered, NotRegistered
from cache_invalidation.rules.declarations import (
    ModelInvalidation,
    check_callable,
    check_declaration,
    check_model,
)
from cache_invalidation.rules.plans import Parts, Plan, Plans
from cache_invalidation.rules.rule import Rule
from cache_invalidation.tags import Invalidation, check_name, model_tag

RuleT = TypeVar("RuleT", bound=type[ModelInvalidation])
Targets = Invalidation | Iterable[Invalidation] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in the project's own words; its payload is read as attributes."""

    name: str
    payload: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.payload[name]
        except KeyError:
            raise AttributeError(f"The event {self.name!r} carries no {name!r}.") from None


Subscriber = Callable[[Event], Targets]
SubscriberT = TypeVar("SubscriberT", bound=Subscriber)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A Django signal, and the handler that says what each of its sendings makes stale."""

    signal: Signal
    handler: Callable[..., Targets]
    sender: Any = None


class Registry:
    """Rules by model, subscribers by event name, and wired signals."""

    def __init__(self) -> None:
        self.changed = Signal()
        self._rules: dict[type[Model], tuple[Rule, ...]] = {}
        self._subscribers: list[tuple[str, Subscriber]] = []
        self._wires: list[Wire] = []
        self._plans = Plans(self._rules)
        # Who names a tag, by the label that the tag begins with.
        self._waiting: dict[str, str] = {}
        self._misspelled: dict[str, str] = {}

    @property
    def rules(self) -> Mapping[type[Model], tuple[Rule, ...]]:
        """The rules by the model they were registered for, in the order of registration."""
        return self._rules

    @property
    def all_rules(self) -> tuple[Rule, ...]:
        """All rules that were registered, for whatever model."""
        return tuple(chain.from_iterable(self._rules.values()))

    @property
    def misspelled(self) -> Mapping[str, str]:
        """Tags that look like those of a model which its app does not have, and whose they are."""
        return self._misspelled

    @property
    def wires(self) -> tuple[Wire, ...]:
        """The signals wired by `connect`."""
        return tuple(self._wires)

    @property
    def subscribers(self) -> tuple[tuple[str, Subscriber], ...]:
        """The subscribers of events, each with the name or wildcard it asked for."""
        return tuple(self._subscribers)

    def register(
        self, model: type[Model], declaration: type[ModelInvalidation] = ModelInvalidation
    ) -> None:
        """Have every write to `model` fire `declaration`, besides the rules that it has already.

        Raises `AlreadyRegistered` if the model has this very rule, `TypeError` for anything that
        has no table or is not a rule.
        """
        check_model(model)
        rules = self._rules.get(model, ())
        if any(type(rule.declaration) is declaration for rule in rules):
            raise AlreadyRegistered(
                f"{declaration.__qualname__} is registered for {model._meta.label} already. A "
                "model may have several rules, but each of them once."
            )
        self._replace(model, (*rules, self._made(model, declaration)))

    def check_spelling(self, tag: str, owner: str) -> None:
        """Take note if `tag`, which `owner` names, is spelled after a model that does not exist."""
        label = tag.partition(":")[0]
        if label.count(".") != 1:
            return
        if not apps.models_ready:
            self._waiting[label] = owner
            return
        labels = {app.lower(): app for app in apps.app_configs}
        app, name = label.split(".")
        if app.lower() not in labels:
            return
        try:
            model = apps.get_model(labels[app.lower()], name)
        except LookupError:
            self._misspelled[label] = owner
            return
        if label != model_tag(model):  # Another case, or the label of a proxy.
            self._misspelled[label] = owner

    def settle(self) -> None:
        """Look again at the tags that were met before the models were loaded."""
        while self._waiting:
            self.check_spelling(*self._waiting.popitem())

    def unregister(
        self, model: type[Model], declaration: type[ModelInvalidation] | None = None
    ) -> None:
        """Remove one rule of `model`, or all that it has; raise `NotRegistered` if it has not."""
        rules = self._rules.get(model, ())
        if declaration is not None:
            rules = tuple(rule for rule in rules if type(rule.declaration) is declaration)
        if not rules:
            what = "no rule" if declaration is None else f"not the rule {declaration.__qualname__}"
            raise NotRegistered(
                f"{model._meta.label} has {what} that was registered for it; registry.rules has "
                "all that there are. To have nobody watch the model, see EXCLUDE."
            )
        self._replace(model, tuple(rule for rule in self._rules[model] if rule not in rules))

    @contextmanager
    def override(
        self, model: type[Model], *declarations: type[ModelInvalidation] | None
    ) -> Iterator[None]:
        """Replace the rules of `model`, or remove them with None, until the block ends."""
        check_model(model)
        rules = [self._made(model, each) for each in declarations if each is not None]
        found = self._replace(model, tuple(rules))
        try:
            yield
        finally:
            self._replace(model, found)

    def _made(self, model: type[Model], declaration: type[ModelInvalidation]) -> Rule:
        check_declaration(declaration)
        rule = Rule(declaration(model))
        for template in rule.templates:
            if template.kind == "tag":
                self.check_spelling(template.source, declaration.__qualname__)
        return rule

    def _replace(self, model: type[Model], rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        """Put `rules` in the place of those of `model`, which are returned."""
        found = self._rules.pop(model, ())
        if rules:
            self._rules[model] = rules
        self._plans.rules_changed()
        self.changed.send(sender=self)
        return found

    def plan(self, model: type[Model]) -> Plan:
        """Return the rules that a write to `model` fires; none if nobody watches it.

        A model for which none is registered has one that declares nothing: its own tags are
        dropped all the same.
        """
        return self._plans.of(model)

    def has_rule(self, model: type[Model]) -> bool:
        """Whether one is registered for `model` itself, or for another that has the same rows."""
        return self._plans.has_rule(model)

    def plain_names(self) -> frozenset[str]:
        """Return patterns for all keys that rules name, or of which they name the beginning."""
        return self._plans.plain_names()

    @property
    def parts(self) -> Parts:
        """What is dropped in the place of tags, where only a part of what they stand for changes.

        Another object whenever it is something else.
        """
        return self._plans.parts()

    def with_parts(self, tags: Collection[str]) -> set[str]:
        """Return `tags`, which somebody names, and those of which one is dropped in their place.

        Who says that a value depends on a row does not say on which of its fields, or whether on
        what it is related to.
        """
        parts = self.parts
        apart = (part(tag) for tag in tags for part in parts.get(tag.partition(":")[0], ()))
        return {*tags, *apart}

    def forget_plans(self) -> None:
        """Make every plan anew when it is next asked for: there are other models."""
        self._plans.forget()

    def rules_changed(self) -> None:
        """Make the plans anew, and tell those who act by them."""
        self.forget_plans()
        self.changed.send(sender=self)

    def on_event(self, name: str, subscriber: Subscriber) -> None:
        """Call `subscriber` with each event called `name`; ``*`` in it stands for anything.

        Raises `ValueError` for a name that is not a non-empty string, `TypeError` for a subscriber
        that cannot be called.
        """
        check_callable(subscriber, "a subscriber", "the event")
        self._subscribers.append((check_name(name, "event name"), subscriber))

    def off_event(self, subscriber: Subscriber) -> None:
        """Stop calling `subscriber`, whatever it listens to."""
        self._subscribers = [item for item in self._subscribers if item[1] is not subscriber]

    def subscribers_of(self, name: str) -> list[Subscriber]:
        """Return who listens to the event called `name`, in the order of subscription."""
        return [
            subscriber
            for wanted, subscriber in self._subscribers
            if wanted == name or fnmatchcase(name, wanted)
        ]

    def connect(self, signal: Signal, handler: Callable[..., Targets], sender: Any = None) -> None:
        """Have each sending of `signal` invalidate what ``handler(sender=…, **kwargs)`` returns.

        The handler returns an `Invalidation`, several, or None. A keyword argument ``using`` of
        the signal names the database whose open transaction the invalidation belongs to.

        Raises `TypeError` for what is no signal or cannot be called.
        """
        if not isinstance(signal, Signal):
            raise TypeError(
                f"connect() takes a signal and then its handler, not {signal!r}; tags are dropped "
                "by what the handler returns."
            )
        check_callable(handler, "a handler", "sender=… and the arguments of the signal")
        self._wires.append(Wire(signal=signal, handler=handler, sender=sender))
        self.changed.send(sender=self)

    def disconnect(self, signal: Signal, handler: Callable[..., Targets]) -> None:
        """Undo `connect` for this signal and handler, whatever the sender."""
        self._wires = [w for w in self._wires if w.signal is not signal or w.handler is not handler]
        self.changed.send(sender=self)


registry = Registry()


@receiver(class_prepared, dispatch_uid="cache_invalidation.rules.registry.models")
def _on_new_model(sender: type[Model], **kwargs: Any) -> None:
    if sender._meta.apps is apps:
        registry.forget_plans()


@receiver(setting_changed, dispatch_uid="cache_invalidation.rules.registry.settings")
def _on_new_settings(setting: str, **kwargs: Any) -> None:
    if setting in ("INSTALLED_APPS", "CACHE_INVALIDATION"):
        registry.rules_changed()


def register(*models: type[Model]) -> Callable[[RuleT], RuleT]:
    """Register the decorated `ModelInvalidation` for `models`. See `Registry.register`."""
    if not models:
        raise TypeError("register() needs at least one model: write @register(Model).")
    for model in models:
        check_model(model)

    def decorate(declaration: RuleT) -> RuleT:
        for model in models:
            registry.register(model, declaration)
        return declaration

    return decorate


def on_event(*names: str) -> Callable[[SubscriberT], SubscriberT]:
    """Subscribe the decorated function to the events called `names`. See `Registry.on_event`."""
    if not names or not all(isinstance(name, str) for name in names):
        raise TypeError('on_event() needs the name of at least one event: write @on_event("name").')

    def decorate(subscriber: SubscriberT) -> SubscriberT:
        for name in names:
            registry.on_event(name, subscriber)
        return subscriber

    return decorate
