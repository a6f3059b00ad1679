"""Which rules a write to a model fires, worked out once from all that are registered."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from django.apps import apps
from django.db.models import Model

from cache_invalidation.rules.catalog import is_excluded, is_watched, related_tags, relatives
from cache_invalidation.rules.declarations import ModelInvalidation
from cache_invalidation.rules.rule import Rule
from cache_invalidation.tags import column_tag, relations_tag, table_of, volatile_tag

# By what tags begin with: what is dropped in the place of one, where only a part of that changes.
Parts = Mapping[str, tuple[Callable[[str], str], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The rules that a write to one model fires.

    `own` are those of the model itself, its proxies and its multi-table parents: the written
    instance is their row too. `inherited` are those of multi-table children, whose row is another.
    Only with `needs_state`, because one of the rules looks at values, may a write cost a query.
    """

    own: tuple[Rule, ...]
    inherited: tuple[Rule, ...]
    needs_state: bool
    # Those of other multi-table children of its parents, whose row may be the same one.
    siblings: tuple[Rule, ...] = ()
    # What the rules of one table ignore, and what is volatile, taken together, by its model.
    ignore: Mapping[type[Model], frozenset[str]] = field(default_factory=dict)
    volatile: Mapping[type[Model], frozenset[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.own or self.inherited)

    def is_told_by(self, fields: frozenset[str] | None) -> bool:
        """Whether no rule has to look at values if these fields, by their names, are updated.

        They are all ignored, or volatile, and nothing that a rule declares is about them.
        """
        if not fields or not (self.ignore or self.volatile):
            return False
        return all(
            fields <= self.passing(rule.model)
            and not rule.concerns(fields)
            and (not rule.track or fields <= self.ignore.get(rule.model, frozenset()))
            for rule in chain(self.own, self.inherited, self.siblings)
        )

    def passing(self, model: type[Model]) -> frozenset[str]:
        """Return the fields whose update leaves the tags of `model` and its rows."""
        nothing = frozenset[str]()
        return self.ignore.get(model, nothing) | self.volatile.get(model, nothing)


NOTHING: Final = Plan(own=(), inherited=(), needs_state=False)


class Plans:
    """The plan of each model, for the rules by model in `rules`."""

    def __init__(self, rules: Mapping[type[Model], tuple[Rule, ...]]) -> None:
        self._rules = rules
        self._plans: dict[type[Model], Plan] = {}
        # The rules that go without saying, of models for which none is registered.
        self._unsaid: dict[type[Model], Rule] = {}
        # The tables that have a rule; made with the plans.
        self._ruled: frozenset[type[Model]] | None = None
        self._plain: frozenset[str] | None = None
        self._parts: Parts | None = None

    def of(self, model: type[Model]) -> Plan:
        """Return the rules that a write to `model` fires. See `Registry.plan`."""
        if model._meta.apps is not apps:
            return NOTHING  # Known to a migration or a test only; not to be remembered.
        try:
            return self._plans[model]
        except KeyError:
            return self._plans.setdefault(model, self._make(model))

    def has_rule(self, model: type[Model]) -> bool:
        """Whether one is registered for `model` itself, or for another that has the same rows."""
        ruled = self._ruled
        if ruled is None:
            ruled = self._ruled = frozenset(map(table_of, self._rules))
        return table_of(model) in ruled

    def plain_names(self) -> frozenset[str]:
        """Return patterns for all keys that rules name, or of which they name the beginning."""
        plain = self._plain
        if plain is None:
            rules = list(chain.from_iterable(self._rules.values()))
            templates = [t for rule in rules for t in rule.templates]
            plain = frozenset(t.collapsed() for t in templates if t.kind == "key" or t.is_prefix)
            self._plain = plain = plain.union(*(rule.key_families for rule in rules))
        return plain

    def parts(self) -> Parts:
        """Return what else is dropped in the place of tags, by what these begin with."""
        parts = self._parts
        if parts is None:
            heads = {tag: {relations_tag} for tag in related_tags()}
            for rule in self._volatile():
                columns = (column_tag(rule.model, column.attname) for column in rule.tracked)
                for head in (rule.model_tag, *columns):
                    heads.setdefault(head, set()).add(volatile_tag)
            self._parts = parts = {head: tuple(found) for head, found in heads.items()}
        return parts

    def _volatile(self) -> Iterator[Rule]:
        """Yield all rules of the models that have volatile fields."""
        rules = list(chain.from_iterable(self._rules.values()))
        models = {rule.model for rule in rules if rule.volatile}
        return (rule for rule in rules if rule.model in models)

    def rules_changed(self) -> None:
        """Make the plans anew when they are next asked for."""
        self._ruled = self._plain = self._parts = None
        self._plans.clear()

    def forget(self) -> None:
        """Make everything anew: there are other models, or other settings."""
        self._unsaid.clear()
        self.rules_changed()

    def _make(self, model: type[Model]) -> Plan:
        written = table_of(model)
        if not is_watched(written):
            return NOTHING
        rules = [
            rule
            for related in relatives()[written]
            if not is_excluded(related)
            for rule in self._rules_of(related)
        ]
        own = tuple(rule for rule in rules if issubclass(written, rule.model))
        inherited = tuple(rule for rule in rules if not issubclass(written, rule.model))
        needs_state = any(rule.needs_state for rule in rules if not rule.goes_without_saying)
        siblings = tuple(self._siblings(written))
        ignore: dict[type[Model], frozenset[str]] = {}
        volatile: dict[type[Model], frozenset[str]] = {}
        for rule in chain(rules, siblings):
            for found, names in ((ignore, rule.ignore), (volatile, rule.volatile)):
                if names:
                    found[rule.model] = found.get(rule.model, frozenset()) | names
        return Plan(
            own=own,
            inherited=inherited,
            needs_state=needs_state,
            siblings=siblings,
            ignore=ignore,
            volatile=volatile,
        )

    def _siblings(self, written: type[Model]) -> Iterator[Rule]:
        own = set(relatives()[written])
        parents = map(table_of, written._meta.all_parents)
        found = chain.from_iterable(relatives().get(parent, ()) for parent in parents)
        for related in dict.fromkeys(found):
            if related not in own and not is_excluded(related):
                yield from self._rules_of(related)

    def _rules_of(self, model: type[Model]) -> Iterator[Rule]:
        if model in self._rules:
            yield from self._rules[model]
        elif model._meta.concrete_model is model and not self.has_rule(model):
            if (rule := self._unsaid.get(model)) is None:
                rule = Rule(ModelInvalidation(model), goes_without_saying=True)
                self._unsaid[model] = rule
            yield rule
