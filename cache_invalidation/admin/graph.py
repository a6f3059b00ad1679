"""What depends on what: models, their rules, what those name, and who reads it."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from django.apps import apps
from django.db.models import Model
from django.dispatch import Signal
from django.utils.text import slugify

from cache_invalidation.catalog import is_watched
from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.reads.declared_tags import DeclaredTags, spell
from cache_invalidation.registry import registry
from cache_invalidation.rules import ModelInvalidation, Rule
from cache_invalidation.tags import family


@dataclass(frozen=True, slots=True)
class Target:
    """A tag, key or pattern as a rule spells it, placeholders and all."""

    kind: str
    name: str

    @property
    def anchor(self) -> str:
        return anchor(self.kind, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleNode:
    """One rule as it acts on writes to one model."""

    name: str
    entity_type: str
    fields: tuple[str, ...] | None
    targets: tuple[Target, ...]
    code: tuple[str, ...]  # its methods that name more, which nobody can know beforehand
    is_built_in: bool
    defect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionNode:
    """A cached function, and the tags it declares; None if it finds out, or is not at hand."""

    name: str
    tags: tuple[str, ...] | None = None
    has_callables: bool = False

    @property
    def anchor(self) -> str:
        return anchor("function", self.name)

    @property
    def text(self) -> str:
        """Everything in it that can be searched for."""
        return "\n".join([self.name, *(self.tags or ())]).lower()

    def reads(self, target: Target) -> bool:
        """Whether dropping `target`, for some values, may make a value of the function stale."""
        return target.kind == "tag" and any(_meet(tag, target.name) for tag in self.tags or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNode:
    """A model, the rules that writes to it fire, and the functions that read what they drop."""

    label: str
    rules: tuple[RuleNode, ...]
    readers: Mapping[Target, tuple[FunctionNode, ...]] = field(default_factory=dict)

    @property
    def anchor(self) -> str:
        return anchor("model", self.label)

    @property
    def text(self) -> str:
        """Everything in it that can be searched for."""
        names = [self.label]
        for rule in self.rules:
            names += [rule.name, rule.entity_type, *(target.name for target in rule.targets)]
        for functions in self.readers.values():
            names += [function.name for function in functions]
        return "\n".join(names).lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Models with rules of the project's own, those without, functions, events and signals."""

    models: tuple[ModelNode, ...]
    others: tuple[str, ...]
    functions: tuple[FunctionNode, ...]
    events: tuple[tuple[str, str], ...]
    signals: tuple[tuple[str, str], ...]


def anchor(kind: str, name: str) -> str:
    """Return the ``id`` of a thing on the page; names differ in more than letters and digits."""
    readable = slugify(name.replace(".", "-").replace(":", "-"))
    return f"{kind}-{readable}-{crc32(name.encode()):08x}"


def graph(query: str = "") -> Graph:
    """Return what this process knows; with a `query`, what has that text in it.

    Cached functions are known from the counters, so those that nobody has called are missing, and
    all of them while the cache does not answer.
    """
    wanted = query.strip().lower()
    functions = tuple(_functions())
    models, others = [], []
    for model in sorted(apps.get_models(include_auto_created=True), key=lambda m: m._meta.label):
        if model._meta.proxy or not is_watched(model):
            continue
        if registry.plan(model).is_declared:
            models.append(_model_node(model, functions))
        else:
            others.append(model._meta.label_lower)
    models = [node for node in models if wanted in node.text]
    readers = {found.name for node in models for some in node.readers.values() for found in some}
    subscribers = ((name, dotted(subscriber)) for name, subscriber in registry.subscribers)
    wires = ((_name_of_signal(wire.signal), dotted(wire.handler)) for wire in registry.wires)
    return Graph(
        models=tuple(models),
        others=tuple(label for label in others if wanted in label),
        # Those that the models link to are there in any case.
        functions=tuple(node for node in functions if node.name in readers or wanted in node.text),
        events=tuple(pair for pair in subscribers if wanted in " ".join(pair).lower()),
        signals=tuple(pair for pair in wires if wanted in " ".join(pair).lower()),
    )


def dotted(thing: Any) -> str:
    """Return the dotted name of a class or function, or what it says of itself."""
    name = getattr(thing, "__qualname__", None)
    return f"{thing.__module__}.{name}" if name else repr(thing)


def _model_node(model: type[Model], functions: Iterable[FunctionNode]) -> ModelNode:
    plan = registry.plan(model)
    rules = tuple(_rule_node(rule) for rule in plan.own + plan.inherited)
    targets = dict.fromkeys(target for rule in rules for target in rule.targets)
    readers = {
        target: found
        for target in targets
        if (found := tuple(node for node in functions if node.reads(target)))
    }
    return ModelNode(label=model._meta.label_lower, rules=rules, readers=readers)


def _rule_node(rule: Rule) -> RuleNode:
    kind = type(rule.declaration)
    methods = ("get_tags", "get_keys", "get_patterns")
    return RuleNode(
        name=dotted(kind),
        entity_type=rule.entity_type,
        fields=None if rule.fields is None else tuple(sorted(rule.fields)),
        targets=tuple(dict.fromkeys(_targets(rule))),
        code=tuple(
            name for name in methods if getattr(kind, name) is not getattr(ModelInvalidation, name)
        ),
        is_built_in=kind is ModelInvalidation,
        defect="" if rule.defect is None else str(rule.defect),
    )


def _targets(rule: Rule) -> Iterator[Target]:
    yield Target("tag", rule.model_tag)
    yield Target("tag", f"{rule.model_tag}:{{pk}}")
    for template in (*rule.tracked.values(), *rule.templates):
        yield Target(template.kind, template.source)


def _functions() -> Iterator[FunctionNode]:
    try:
        names = read_metrics()["functions"]
    except CacheInvalidationError:
        return
    for name in names:
        declared = getattr(_loaded(name), "tags", None)
        if not isinstance(declared, DeclaredTags) or not declared.sources:
            yield FunctionNode(name=name)
            continue
        plain = [tag for tag in declared.sources if isinstance(tag, str | Model | type)]
        yield FunctionNode(
            name=name, tags=tuple(map(spell, plain)), has_callables=declared.has_callables
        )


def _loaded(name: str) -> Any:
    """Return what has this dotted name in a module that is loaded; None if nothing has."""
    parts = name.split(".")
    for place in reversed(range(1, len(parts))):
        module = sys.modules.get(".".join(parts[:place]))
        if module is not None:
            found: Any = module
            for part in parts[place:]:
                found = getattr(found, part, None)
            return found
    return None


def _name_of_signal(signal: Signal) -> str:
    """Return the dotted name of `signal`, if it is in a module for signals."""
    for name, module in list(sys.modules.items()):
        if name.endswith("signals"):
            for attribute, value in vars(module).items():
                if value is signal:
                    return f"{name}.{attribute}"
    return repr(signal)


def _meet(declared: str, dropped: str) -> bool:
    return declared == dropped or (
        ":" in declared and ":" in dropped and family(declared) == family(dropped)
    )
