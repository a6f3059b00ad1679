"""What the code of a rule names, and what stands for the rows that it was not shown."""

import logging
from collections.abc import Iterable
from typing import Any, Final, Self

from cache_invalidation.connections import shielded
from cache_invalidation.rules.declarations import Change
from cache_invalidation.rules.rule import CODE, Rule
from cache_invalidation.tags import ROOT, Invalidation, family, shorten

logger = logging.getLogger("cache_invalidation")

# What only a row tells, or nobody if it is not known.
_OF_ROWS: Final = frozenset({"pk", "old", "new", "instances"})
_OF_THE_WRITE: Final = frozenset({"is_known", "operation", "fields"})


class Unseen(Change):
    """A change to rows that are not all known, which takes note of what code asks it.

    Code that asks nothing of the row would have named the same for any other. Code that does is
    answered as far as the row is known, and has missed the rest: a loop over `instances` that is
    empty must not mean that there is nothing to drop.
    """

    asked: set[str]

    @classmethod
    def like(cls, change: Change) -> Self:
        values = {name: getattr(change, name) for name in Change.__slots__}
        unseen = cls(**values)
        object.__setattr__(unseen, "asked", set())
        return unseen

    def __getattribute__(self, name: str) -> Any:
        if name in _OF_ROWS or name in _OF_THE_WRITE:
            asked = super().__getattribute__("__dict__").get("asked")
            if asked is not None:
                asked.add(name)
        return super().__getattribute__(name)

    def misses_rows(self, rule: Rule) -> bool:
        """Whether the code of `rule`, which was given this, would have named more for a row."""
        if rule.families == frozenset():
            # It says that it knows what it does.
            return "is_known" not in self.asked and not self.asked.isdisjoint(_OF_ROWS)
        return bool(self.asked)


class FromCode:
    """What the code of `rule` makes of `change`."""

    def __init__(self, rule: Rule, change: Change) -> None:
        self.rule = rule
        self.tags: set[str] = set()
        self.keys: set[str] = set()
        self.patterns: set[str] = set()
        # What the code cannot say of rows that are not known, and what is done about it.
        self.notes: list[str] = []
        # Whether there may be plain keys of which nobody knows the names.
        self.loses_keys = False

        is_known = change.is_known
        blind = [name for name in rule.code if not self._add(name, change, is_known)]
        if blind:
            self._stand_for(blind)

    def _add(self, name: str, change: Change, is_known: bool) -> bool:
        """Add what the method `name` returns; return whether that is all."""
        rule, declaration, kind = self.rule, self.rule.declaration, CODE[name]
        asked = change if is_known else Unseen.like(change)
        try:
            with shielded(change.using):
                found = _checked(kind, getattr(declaration, name)(asked))
        except Exception:
            if is_known or rule.families is None:
                logger.exception("%r failed; invalidating everything", declaration)
                self.tags.add(ROOT)
                if kind != "tag":
                    self.patterns |= rule.key_families
                    self.loses_keys |= not rule.key_families
                return is_known
            return False  # It has missed the rows, and what it might name is declared.
        {"tag": self.tags, "key": self.keys, "pattern": self.patterns}[kind].update(found)
        if is_known:
            _compare_with_families(rule, found)
        return not (isinstance(asked, Unseen) and asked.misses_rows(rule))

    def _stand_for(self, blind: list[str]) -> None:
        """Drop what the methods `blind` would have named for the rows that they have not seen."""
        rule = self.rule
        named = {family(name) or name for name in (*self.tags, *self.keys, *self.patterns)}
        missing = rule.undeclared - named - (rule.families or frozenset())
        keys = [name for name in blind if name != "get_tags"]
        if rule.families and not missing:
            if "get_tags" in blind:
                self.tags |= rule.families
            if keys:
                self.patterns |= rule.key_families
            what = f"its `families` are dropped: {', '.join(sorted(rule.families))}"
        else:
            self.tags.add(ROOT)
            self.loses_keys |= bool(keys)
            what = f"everything is dropped{', but plain keys may stay' if keys else ''}"
            if rule.families is None:
                what += "; declare the `families` of what it names"
            elif missing:
                what += f": it has named {min(missing)!r}, which `families` lacks"
            else:
                what += "; `families` is empty, and it asks for the rows all the same"
        names = " and ".join(f"{name}()" for name in blind)
        self.notes.append(f"{names} cannot see rows that are not known, so {what}")


def _checked(kind: str, found: Any) -> frozenset[str]:
    if kind == "tag":
        return Invalidation(tags=_shortened(found)).tags
    if kind == "key":
        return Invalidation(keys=found).keys
    return Invalidation(patterns=found).patterns


def _compare_with_families(rule: Rule, named: Iterable[str]) -> None:
    """Take note of what the code has named that `families` leaves out."""
    if rule.families is not None:
        found = {family(name) or name for name in named}
        rule.undeclared |= found - rule.families - rule.undeclared


def _shortened(tags: Any) -> Any:
    if isinstance(tags, str | bytes):
        return tags  # Refused where names are checked, and not taken apart here.
    return [shorten(tag) if isinstance(tag, str) else tag for tag in tags]
