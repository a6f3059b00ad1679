"""What depends on what, as operators see it: models, rules, events, signals, what is cached."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypedDict, TypeVar

from django.apps import apps
from django.db.models import Model
from django.dispatch import Signal

from cache_invalidation.explain.known import Known
from cache_invalidation.explain.readers import (
    BlockEntry,
    FunctionEntry,
    PageEntry,
    blocks_known,
    functions_known,
    pages_known,
    reads,
)
from cache_invalidation.reads.spelling import dotted_name
from cache_invalidation.rules.catalog import is_watched
from cache_invalidation.rules.registry import Wire, registry
from cache_invalidation.rules.rule import Rule
from cache_invalidation.surfaces.tracked.names import names_for

E = TypeVar("E", FunctionEntry, PageEntry, BlockEntry)


class RuleEntry(TypedDict):
    """A declared rule, and the `model` it was registered for.

    `fields` is null if every field counts; `own_fields` are those of single templates, `ignore`
    those that do not count, `volatile` those that count for what reads them. `code` are the methods
    that say what templates cannot, `families` what is dropped where these do not know the rows;
    null is everything. `defect` is why the templates cannot be used.
    """

    rule: str
    model: str
    entity_type: str
    tags: list[str]
    keys: list[str]
    patterns: list[str]
    fields: list[str] | None
    own_fields: dict[str, list[str]]
    ignore: list[str]
    volatile: list[str]
    track: list[str]
    code: list[str]
    families: list[str] | None
    defect: str | None


class ModelEntry(TypedDict):
    """A model that is watched; a write to it drops `tags`, and what its `rules` say."""

    model: str
    tags: list[str]
    rules: list[RuleEntry]


class EventEntry(TypedDict):
    """The subscribers of a domain event; ``*`` in its name stands for anything."""

    event: str
    subscribers: list[str]


class SignalEntry(TypedDict):
    """A wired signal; its name, if it could be found out, and null for the model if it is any."""

    signal: str | None
    handler: str
    sender: str | None


class Overview(TypedDict):
    """All that is registered."""

    models: list[ModelEntry]
    functions: list[FunctionEntry]
    pages: list[PageEntry]
    blocks: list[BlockEntry]
    events: list[EventEntry]
    signals: list[SignalEntry]


def overview(model: type[Model] | None = None, search: str = "") -> Overview:
    """Return what is registered, sorted by name.

    With `model`, only what a write to it does: no events, the signals that it sends, and the
    functions, pages and blocks that depend on what it drops. With `search`, only what has that
    text in one of its names, in any case.
    """
    models = _models() if model is None else [_model(model)]
    known = Known()

    def shown(entries: list[E]) -> list[E]:
        found = entries if model is None else _reading(models[0], entries)
        return [entry for entry in found if mentions(entry, search)]

    events = _events() if model is None else []
    signals = [_signal(wire) for wire in registry.wires if model in (None, wire.sender)]
    return Overview(
        models=[entry for entry in models if mentions(entry, search)],
        functions=shown(functions_known(known)),
        pages=shown(pages_known(known)),
        blocks=shown(blocks_known(known)),
        events=[entry for entry in events if mentions(entry, search)],
        signals=[entry for entry in signals if mentions(entry, search)],
    )


def _reading(model: ModelEntry, known: Iterable[E]) -> list[E]:
    """Return those that depend on what a write to `model` drops, with or without a rule."""
    rules: list[RuleEntry] = model["rules"]
    wanted = {*model["tags"], *(tag for rule in rules for tag in dropped_by(rule))}
    tracked = names_for(
        [key for rule in rules for key in rule["keys"]],
        [pattern for rule in rules for pattern in rule["patterns"]],
    )
    return [
        entry
        for entry in known
        if entry.get("function") in tracked or any(reads(entry, tag) for tag in wanted)
    ]


def dropped_by(rule: RuleEntry) -> list[str]:
    """Return the tags of `rule`, and the family tags of what its code may name."""
    return rule["tags"] + [f"{name}:*" for name in rule["families"] or ()]


def _models() -> list[ModelEntry]:
    watched = [m for m in apps.get_models(include_auto_created=True) if is_watched(m)]
    ordered = sorted(watched, key=lambda model: model._meta.label_lower)
    return [_model(model) for model in ordered if not model._meta.proxy]


def _model(model: type[Model]) -> ModelEntry:
    plan = registry.plan(model)
    rules = plan.own + plan.inherited
    return ModelEntry(
        model=model._meta.label_lower,
        tags=list(dict.fromkeys(tag for rule in rules for tag in _always(rule))),
        rules=[_rule(rule) for rule in rules if not rule.goes_without_saying],
    )


def _always(rule: Rule) -> Iterator[str]:
    """Yield the tags that go with every write, whatever the rule says."""
    yield from (rule.model_tag, f"{rule.model_tag}:{{pk}}")
    yield from (template.source for template in rule.tracked.values())


def _rule(rule: Rule) -> RuleEntry:
    declaration = rule.declaration
    templates: dict[str, list[str]] = {"tag": [], "key": [], "pattern": []}
    for template in rule.templates:
        templates[template.kind].append(template.source)
    return RuleEntry(
        rule=dotted_name(type(declaration)),
        model=declaration.model._meta.label_lower,
        entity_type=rule.entity_type,
        tags=templates["tag"],
        keys=templates["key"],
        patterns=templates["pattern"],
        fields=None if rule.fields is None else sorted(rule.fields),
        own_fields={t.source: sorted(t.fields) for t in rule.templates if t.fields is not None},
        ignore=sorted(rule.ignore),
        volatile=sorted(rule.volatile),
        track=list(declaration.track),
        code=list(rule.code),
        families=None if rule.families is None else sorted(map(_bare, rule.families)),
        defect=None if rule.defect is None else str(rule.defect),
    )


def _bare(family_tag: str) -> str:
    return family_tag.removesuffix(":*")


def _events() -> list[EventEntry]:
    found: dict[str, list[str]] = {}
    for name, subscriber in registry.subscribers:
        found.setdefault(name, []).append(dotted_name(subscriber))
    return [EventEntry(event=name, subscribers=found[name]) for name in sorted(found)]


def _signal(wire: Wire) -> SignalEntry:
    sender = wire.sender
    if isinstance(sender, type) and issubclass(sender, Model):
        sender = sender._meta.label_lower
    elif sender is not None:
        sender = dotted_name(sender)
    return SignalEntry(
        signal=_name_of(wire.signal, wire.handler),
        handler=dotted_name(wire.handler),
        sender=sender,
    )


def _name_of(signal: Signal, handler: Callable[..., Any]) -> str | None:
    """Return the dotted name of `signal`, which does not know it.

    It is looked for in the modules called ``signals``, and in the one of `handler`.
    """
    places = [name for name in sorted(sys.modules) if name.split(".")[-1] == "signals"]
    for place in [*places, getattr(handler, "__module__", "")]:
        if module := sys.modules.get(place):
            names = [name for name, value in list(vars(module).items()) if value is signal]
            if names:
                return f"{place}.{names[0]}"
    return None


def mentions(entry: Any, text: str) -> bool:
    """Whether one of the names in `entry` has `text` in it, in any case."""
    return any(text.casefold() in found.casefold() for found in _texts(entry))


def _texts(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, Iterable):
        for item in entry.values() if isinstance(entry, dict) else entry:
            yield from _texts(item)
