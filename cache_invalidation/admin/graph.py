"""What depends on what, as nodes that the page and the drawing link with each other."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from zlib import crc32

from django.utils.text import slugify

from cache_invalidation.operations.overview import (
    EventEntry,
    FunctionEntry,
    ModelEntry,
    RuleEntry,
    SignalEntry,
    mentions,
    overview,
    reads,
)


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
class FunctionNode:
    """A cached function."""

    entry: FunctionEntry

    @property
    def name(self) -> str:
        return self.entry["function"]

    @property
    def anchor(self) -> str:
        return anchor("function", self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNode:
    """A model, the rules that writes to it fire, and the functions that read what they drop."""

    label: str
    rules: tuple[RuleNode, ...]
    readers: Mapping[Target, tuple[FunctionNode, ...]] = field(default_factory=dict)

    @property
    def anchor(self) -> str:
        return anchor("model", self.label)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Models with rules of the project's own, those without, functions, events and signals."""

    models: tuple[ModelNode, ...]
    others: tuple[str, ...]
    functions: tuple[FunctionNode, ...]
    events: tuple[EventEntry, ...]
    signals: tuple[SignalEntry, ...]


def anchor(kind: str, name: str) -> str:
    """Return the ``id`` of a thing on the page; names differ in more than letters and digits."""
    readable = slugify(name.replace(".", "-").replace(":", "-"))
    return f"{kind}-{readable}-{crc32(name.encode()):08x}"


def graph(query: str = "") -> Graph:
    """Return what this process knows; with a `query`, what has that text in one of its names."""
    query = query.strip()
    found = overview()
    functions = [FunctionNode(entry=entry) for entry in found["functions"]]
    models = tuple(_models(found["models"], functions, query))
    linked = {node.name for model in models for some in model.readers.values() for node in some}
    return Graph(
        models=models,
        others=tuple(
            entry["model"]
            for entry in found["models"]
            if not entry["rules"] and mentions(entry["model"], query)
        ),
        functions=tuple(
            node for node in functions if node.name in linked or mentions(node.entry, query)
        ),
        events=tuple(entry for entry in found["events"] if mentions(entry, query)),
        signals=tuple(entry for entry in found["signals"] if mentions(entry, query)),
    )


def _models(
    entries: Iterable[ModelEntry], functions: Iterable[FunctionNode], query: str
) -> Iterator[ModelNode]:
    """Yield those with rules; the functions that read what they name belong to them."""
    for entry in entries:
        if not entry["rules"]:
            continue
        rules = (RuleNode(targets=_tags(entry["tags"])), *map(_rule, entry["rules"]))
        readers = {}
        for target in dict.fromkeys(target for rule in rules for target in rule.targets):
            if target.kind == "tag":
                readers[target] = tuple(n for n in functions if reads(n.entry, target.name))
        names = [node.name for some in readers.values() for node in some]
        if mentions(entry, query) or mentions(names, query):
            yield ModelNode(label=entry["model"], rules=rules, readers=readers)


def _rule(entry: RuleEntry) -> RuleNode:
    keys = tuple(Target("key", name) for name in entry["keys"])
    patterns = tuple(Target("pattern", name) for name in entry["patterns"])
    return RuleNode(targets=_tags(entry["tags"]) + keys + patterns, entry=entry)


def _tags(names: Iterable[str]) -> tuple[Target, ...]:
    return tuple(Target("tag", name) for name in names)
