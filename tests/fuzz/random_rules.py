"""Rules that are made up at random: what a write to a model makes stale besides its own tags."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from django.db.models import Model

from cache_invalidation import Change, ModelInvalidation, Tag
from tests.fuzz.schemas import UNREAD, Grammar, Table, tag_of, tag_value

Declared = type[ModelInvalidation]


def random_rules(
    rng: random.Random, tables: Sequence[Table], grammar: Grammar
) -> Iterator[tuple[type[Model], tuple[Declared, ...]]]:
    """Yield the models that have rules, each with one or several."""
    for table in tables:
        if rng.random() < (0.1 if grammar == "related" else 0.35):
            continue
        rules = [_rule(rng, table, grammar, "")]
        if grammar == "related" and rng.random() < 0.4:
            rules.append(_rule(rng, table, grammar, "Second"))
        yield table.model, tuple(rules)


def _rule(rng: random.Random, table: Table, grammar: Grammar, prefix: str) -> Declared:
    columns = [name for name in table.pools if name != "s" or table.is_loose]
    columns = [name for name in columns if name != UNREAD]
    tracked = rng.sample(columns, rng.randint(0, min(2, len(columns))))
    volatile = [name for name in table.pools if rng.random() < 0.3]
    local = {column.attname for column in table.model._meta.local_fields}
    names: list[str] = [name for name in ("n", "m", "pk") if name == "pk" or name in columns]
    least = 1 if grammar == "related" else 0
    told = rng.sample(names, min(rng.randint(least, 2), len(names)))
    fields = None
    if "n" in told and rng.random() < 0.4:
        told, fields = ["n"], ["n"]
    families = {name: prefix + tag_of(table, name) for name in told}
    tags = [f"{family}:{{{name}}}" for name, family in families.items()]
    partial: list[str] = []
    if grammar == "related" and fields is None:
        partial = [name for name in told if name != "pk" and rng.random() < 0.5]
        tags = [
            Tag(f"{family}:{{{name}}}", fields=[name, "n"]) if name in partial else tag
            for (name, family), tag in zip(families.items(), tags, strict=True)
        ]
    attributes = {
        "track": [name for name in tracked if name in local],
        "tags": tags,
        "fields": fields,
        "ignore": [UNREAD] if UNREAD in table.pools and rng.random() < 0.6 else [],
        "volatile": volatile if rng.random() < 0.6 else [],
        # For those who read: the families by what they are about, and those that say nothing of
        # other columns than `n` and that one.
        "told": families,
        "partial": frozenset(fields or partial),
    }
    name = f"{prefix}{table!r}Rule"
    if grammar != "usual" and told and not partial and rng.random() < 0.5:
        attributes |= _said_by_code(rng, families)
    return type(name, (ModelInvalidation,), attributes)


def _said_by_code(rng: random.Random, families: dict[str, str]) -> dict[str, Any]:
    """Return the attributes of a rule that says by code what its templates said."""

    def named(states: Iterable[Model]) -> list[str]:
        return [
            f"{family}:{tag_value(getattr(row, name))}"
            for row in states
            for name, family in families.items()
        ]

    def get_tags(self: ModelInvalidation, change: Change) -> list[str]:
        return named(change.instances)

    def get_tags_for_any(self: ModelInvalidation, change: Change) -> list[str]:
        if not change.is_known:
            return [f"{family}:*" for family in families.values()]
        return named(change.instances)

    def get_tags_before_and_after(self: ModelInvalidation, change: Change) -> list[str]:
        return named(row for row in (change.old, change.new) if row is not None)

    kinds: list[tuple[Callable[..., list[str]], list[str] | None]] = [
        (get_tags, None),
        (get_tags, [*families.values()]),
        (get_tags_before_and_after, None),
        (get_tags_before_and_after, [*families.values()]),
        (get_tags_for_any, []),
    ]
    code, declared = rng.choice(kinds)
    return {"tags": [], "get_tags": code, "families": declared}
