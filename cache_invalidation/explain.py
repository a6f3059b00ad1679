"""`explain`: what a write would make stale, and by which rule."""

from dataclasses import dataclass
from typing import Any

from django.db import router
from django.db.models import Model

from cache_invalidation.resolution import consequences
from cache_invalidation.rules import Change
from cache_invalidation.tags import table_of


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleEffect:
    """What one rule contributes; `rule` is its dotted name."""

    rule: str
    entity_type: str
    tags: tuple[str, ...]
    keys: tuple[str, ...]
    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What would be invalidated. Its text is a tree; `as_dict` is for JSON."""

    subject: str
    effects: tuple[RuleEffect, ...]

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

    def as_dict(self) -> dict[str, Any]:
        """Return the same as plain lists and strings."""
        return {
            "subject": self.subject,
            "rules": [
                {
                    "rule": effect.rule,
                    "entity_type": effect.entity_type,
                    "tags": list(effect.tags),
                    "keys": list(effect.keys),
                    "patterns": list(effect.patterns),
                }
                for effect in self.effects
            ],
        }

    def __str__(self) -> str:
        lines = [self.subject]
        for effect in self.effects:
            lines.append(f"  {effect.rule}")
            for kind in ("tags", "keys", "patterns"):
                lines += [f"    {kind[:-1]:<8}{name}" for name in getattr(effect, kind)]
        return "\n".join(lines)


def explain(instance: Model) -> Explanation:
    """Return what saving `instance` as it is would invalidate, rule by rule; change nothing.

    One query reads the row as the database has it, since the old state counts as well.
    """
    model = table_of(type(instance))
    using = router.db_for_write(model, instance=instance)
    old = model._base_manager.using(using).filter(pk=instance.pk).first()
    change = Change(
        model=model,
        operation="create" if old is None else "update",
        using=using,
        pk=instance.pk,
        old=old,
        new=instance,
    )
    return Explanation(
        subject=f"{model._meta.label_lower}:{instance.pk}",
        effects=tuple(
            RuleEffect(
                rule=_name(type(consequence.rule.declaration)),
                entity_type=consequence.rule.entity_type,
                tags=tuple(sorted(consequence.tags)),
                keys=tuple(sorted(consequence.keys)),
                patterns=tuple(sorted(consequence.patterns)),
            )
            for consequence in consequences(change)
        ),
    )


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
