"""What is said: an `Explanation`, which is a tree as text and plain lists for JSON."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal

from django.db.models import Model

from cache_invalidation.conf import settings
from cache_invalidation.explain.known import Known
from cache_invalidation.explain.readers import dependent_on
from cache_invalidation.explain.states import NEW
from cache_invalidation.rules.catalog import is_excluded, is_watched
from cache_invalidation.rules.consequences import Consequence, consequences
from cache_invalidation.rules.declarations import Change, ModelInvalidation
from cache_invalidation.rules.registry import registry
from cache_invalidation.rules.rule import Rule
from cache_invalidation.tags import collapse

BUILT_IN: Final = "built in"
_SUBJECT_LENGTH: Final = 200  # characters of a statement in the text form


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleEffect:
    """What one rule makes of one kind of write.

    `rule` is its dotted name, or "built in" if the project declares none. `model` and `operation`
    say what is written: "create", "update", "delete", or "write" for any of these. A rule with
    `fields` contributes what it declares only if one of them changes. `stays` is what stays of its
    tags, keys and patterns. `notes` say why, and what its code cannot tell of rows that are not
    known.
    """

    rule: str
    model: str
    operation: str
    entity_type: str
    fields: tuple[str, ...] | None = None
    tags: tuple[str, ...]
    keys: tuple[str, ...]
    patterns: tuple[str, ...]
    stays: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What would be invalidated. Its text is a tree; `as_dict` is for JSON.

    A name in braces, as in ``category:{category_id}``, stands for a value that is not known before
    the write. `reads` are tags of a statement: a cached function that runs it depends on them.
    `dependent()` names the functions, pages, blocks and tracked keys that may become stale.
    """

    subject: str
    operation: Literal["save", "delete", "sql"] = "save"
    effects: tuple[RuleEffect, ...]
    reads: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def tags(self) -> frozenset[str]:
        """All tags, of all rules."""
        return frozenset(tag for effect in self.effects for tag in effect.tags)

    @property
    def keys(self) -> frozenset[str]:
        """All plain keys, of all rules."""
        return frozenset(key for effect in self.effects for key in effect.keys)

    @property
    def patterns(self) -> frozenset[str]:
        """All key patterns, of all rules."""
        return frozenset(pattern for effect in self.effects for pattern in effect.patterns)

    def dependent(self, known: Known | None = None) -> list[str]:
        """Return the functions, pages, blocks and tracked keys that may become stale, if known.

        They are called as in the metrics. Unless it is given what is `known`, the cache is asked
        what all processes have told; if it does not answer, that is what this one has found out.
        """
        return dependent_on(self.tags, known or Known(), self.keys, self.patterns)

    def as_dict(self) -> dict[str, Any]:
        """Return the same as plain lists and strings."""
        return {
            "subject": self.subject,
            "operation": self.operation,
            "rules": [
                {
                    "rule": effect.rule,
                    "model": effect.model,
                    "operation": effect.operation,
                    "entity_type": effect.entity_type,
                    "fields": None if effect.fields is None else list(effect.fields),
                    "tags": list(effect.tags),
                    "keys": list(effect.keys),
                    "patterns": list(effect.patterns),
                    "stays": list(effect.stays),
                }
                for effect in self.effects
            ],
            "reads": list(self.reads),
            "notes": [
                *self.notes,
                *(f"{effect.rule}: {note}" for effect in self.effects for note in effect.notes),
            ],
        }

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"delete {self.subject}" if self.operation == "delete" else _cut(self.subject)
        if self.operation == "save":
            yield from _rules(self.effects, "  ")
        else:
            writes: dict[tuple[str, str], list[RuleEffect]] = {}
            for effect in self.effects:
                writes.setdefault((effect.operation, effect.model), []).append(effect)
            for (operation, model), effects in writes.items():
                yield f"  {operation} {model}"
                yield from _rules(effects, "    ")
        if self.reads:
            yield "  whoever caches what it reads depends on"
            yield from _names("tag", self.reads, "    ")
        for note in self.notes:
            yield f"  {note}"


def _rules(effects: Iterable[RuleEffect], indent: str) -> Iterator[str]:
    for effect in effects:
        # The built-in rule of a multi-table parent is another one.
        is_other = effect.rule == BUILT_IN and effect.entity_type != effect.model
        about = f" for {effect.entity_type}" if is_other else ""
        if effect.fields is not None:
            about += f" (if {' or '.join(effect.fields) or 'nothing'} changes)"
        yield f"{indent}{effect.rule}{about}"
        yield from _names("tag", effect.tags, f"{indent}  ")
        yield from _names("key", effect.keys, f"{indent}  ")
        yield from _names("pattern", effect.patterns, f"{indent}  ")
        yield from _names("stays", effect.stays, f"{indent}  ")
        yield from _names("note", effect.notes, f"{indent}  ")


def _names(kind: str, names: Iterable[str], indent: str) -> Iterator[str]:
    return (f"{indent}{kind:<8}{name}" for name in names)


def _cut(subject: str) -> str:
    # What came from a command line may have bytes in it that are no text.
    text = " ".join(subject.encode(errors="replace").decode().split())
    return text if len(text) <= _SUBJECT_LENGTH else f"{text[:_SUBJECT_LENGTH]}…"


def effects_of(changes: Iterable[Change]) -> tuple[RuleEffect, ...]:
    """Return what the rules make of `changes`, those of one kind together."""
    found: dict[tuple[type[Model], str, Rule], Consequence] = {}
    for change in changes:
        every = None
        if change.operation == "create" and _has_stand_in(change.pk):
            # No multi-table child can have it yet, and none could be looked up.
            every = len(registry.plan(change.model).own)
        for consequence in islice(consequences(change), every):
            kind = change.model, change.operation, consequence.rule
            whole = found.setdefault(kind, consequence)
            whole.tags |= consequence.tags
            whole.keys |= consequence.keys
            whole.patterns |= consequence.patterns
            whole.spared |= consequence.spared
            whole.apart |= consequence.apart
            whole.unfired = [each for each in whole.unfired if each in consequence.unfired]
            whole.notes = list(dict.fromkeys([*whole.notes, *consequence.notes]))
    limit = settings.ROW_TAG_LIMIT
    return tuple(
        RuleEffect(
            rule=_name(type(rule.declaration)),
            model=model._meta.label_lower,
            operation="write" if operation == "manual" else operation,
            entity_type=rule.entity_type,
            fields=None if rule.fields is None else tuple(sorted(rule.fields)),
            tags=tuple(sorted(collapse(whole.tags, limit))),
            keys=tuple(sorted(whole.keys)),
            patterns=tuple(sorted(whole.patterns)),
            stays=tuple(_staying(whole)),
            notes=(*whole.notes, *_conditions(whole)),
        )
        for (model, operation, rule), whole in found.items()
    )


def _staying(whole: Consequence) -> Iterator[str]:
    """Yield what stays: tags of rows that do not count, and templates."""
    yield from sorted((whole.spared | whole.apart) - whole.tags)
    yield from (template.source for template in whole.unfired)


def _conditions(whole: Consequence) -> Iterator[str]:
    """Yield why that stays, or might stay where it is not known what changes."""
    rule, model = whole.rule, whole.rule.model
    ignored = registry.plan(model).ignore.get(model, frozenset())
    volatile = registry.plan(model).volatile.get(model, frozenset())
    names = ", ".join(sorted(ignored))
    if whole.spared - whole.tags:
        yield f"the tags of rows stay, since nothing changes but what is ignored: {names}"
    elif ignored and whole.change.operation == "manual":
        yield f"the tags of rows stay if nothing changes but what is ignored: {names}"
    names = ", ".join(sorted(volatile))
    if whole.apart - whole.tags and whole.change.operation != "m2m":
        yield f"what reads none of {names} stays, since nothing else changes"
    elif volatile and whole.change.operation == "manual":
        yield f"what reads none of {names} stays if nothing else changes"
    for template in rule.templates:
        if template.fields is not None:
            fields = " or ".join(sorted(template.fields))
            yield f"{template.source} goes only if {fields} changes"


def _has_stand_in(pk: Any) -> bool:
    return NEW in (pk if isinstance(pk, tuple) else (pk,))


def _name(kind: type[ModelInvalidation]) -> str:
    return BUILT_IN if kind is ModelInvalidation else f"{kind.__module__}.{kind.__qualname__}"


def why_unwatched(model: type[Model]) -> str | None:
    """Return why writes to `model` invalidate nothing; None if somebody watches it."""
    if is_watched(model):
        return None
    if is_excluded(model):
        return f"Nobody watches {model._meta.label}: see EXCLUDE in CACHE_INVALIDATION."
    return f"Nobody watches {model._meta.label}: it is not a model of the installed apps."
