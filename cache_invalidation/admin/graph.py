"""What depends on what, as nodes that the page and the drawing link with each other."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from django.utils.text import slugify

from cache_invalidation.explain.known import Kind, joined
from cache_invalidation.explain.readers import reads
from cache_invalidation.operations.overview import (
    EventEntry,
    ModelEntry,
    RuleEntry,
    SignalEntry,
    dropped_by,
    mentions,
    overview,
)
from cache_invalidation.surfaces.tracked.names import names_for


@dataclass(frozen=True, slots=True)
class Target:
    """A tag, key or pattern as a rule spells it, placeholders and all."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleNode:
    """What a rule names, or what goes with every write if there is no `entry`."""

    targets: tuple[Target, ...]
    entry: RuleEntry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedNode:
    """A cached function, page or block; its `name` is the one in the metrics."""

    kind: Kind
    entry: Mapping[str, Any]

    @property
    def name(self) -> str:
        return joined(self.kind, str(self.entry[self.kind]))

    @property
    def anchor(self) -> str:
        return anchor(self.kind, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNode:
    """A model, the rules that writes to it fire, and what is cached and reads what they drop."""

    label: str
    rules: tuple[RuleNode, ...]
    readers: Mapping[Target, tuple[CachedNode, ...]] = field(default_factory=dict)

    @property
    def anchor(self) -> str:
        return anchor("model", self.label)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Models with rules or readers, the others, what is cached, events and signals."""

    models: tuple[ModelNode, ...]
    others: tuple[str, ...]
    functions: tuple[CachedNode, ...]
    pages: tuple[CachedNode, ...]
    blocks: tuple[CachedNode, ...]
    events: tuple[EventEntry, ...]
    signals: tuple[SignalEntry, ...]


def anchor(kind: str, name: str) -> str:
    """Return the ``id`` of a thing on the page; names differ in more than letters and digits."""
    readable = slugify(name.replace(".", "-").replace(":", "-"))
    return f"{kind}-{readable}-{crc32(name.encode()):08x}"


def graph(query: str = "") -> Graph:
    """Return what is known; with a `query`, what has that text in one of its names."""
    query = query.strip()
    found = overview()
    cached = [
        *[CachedNode(kind="function", entry=entry) for entry in found["functions"]],
        *[CachedNode(kind="page", entry=entry) for entry in found["pages"]],
        *[CachedNode(kind="block", entry=entry) for entry in found["blocks"]],
    ]
    nodes = [(entry, _node(entry, cached)) for entry in found["models"]]
    is_linked = {node.label: bool(entry["rules"] or node.readers) for entry, node in nodes}
    models = tuple(
        node
        for entry, node in nodes
        if is_linked[node.label] and (mentions(entry, query) or mentions(_names(node), query))
    )
    linked = {name for model in models for name in _names(model)}
    shown = [
        node
        for node in cached
        if node.name in linked or mentions(node.entry, query) or mentions(node.name, query)
    ]
    return Graph(
        models=models,
        others=tuple(
            label
            for label, is_drawn in is_linked.items()
            if not is_drawn and mentions(label, query)
        ),
        functions=tuple(node for node in shown if node.kind == "function"),
        pages=tuple(node for node in shown if node.kind == "page"),
        blocks=tuple(node for node in shown if node.kind == "block"),
        events=tuple(entry for entry in found["events"] if mentions(entry, query)),
        signals=tuple(entry for entry in found["signals"] if mentions(entry, query)),
    )


def _node(entry: ModelEntry, cached: Iterable[CachedNode]) -> ModelNode:
    rules = (RuleNode(targets=_tags(entry["tags"])), *map(_rule, entry["rules"]))
    targets = dict.fromkeys(target for rule in rules for target in rule.targets)
    readers = {target: found for target in targets if (found := _readers(target, cached))}
    return ModelNode(label=entry["model"], rules=rules, readers=readers)


def _readers(target: Target, cached: Iterable[CachedNode]) -> tuple[CachedNode, ...]:
    if target.kind == "tag":
        return tuple(node for node in cached if reads(node.entry, target.name))
    named = [target.name]
    tracked = names_for(named, ()) if target.kind == "key" else names_for((), named)
    return tuple(node for node in cached if node.name in tracked)


def _names(model: ModelNode) -> list[str]:
    """Return the names of what belongs to `model`, since it reads what that drops."""
    return [node.name for some in model.readers.values() for node in some]


def _rule(entry: RuleEntry) -> RuleNode:
    keys = tuple(Target("key", name) for name in entry["keys"])
    patterns = tuple(Target("pattern", name) for name in entry["patterns"])
    return RuleNode(targets=_tags(dropped_by(entry)) + keys + patterns, entry=entry)


def _tags(names: Iterable[str]) -> tuple[Target, ...]:
    return tuple(Target("tag", name) for name in names)
