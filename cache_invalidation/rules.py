"""What a project declares, and what is observed: rules, changes, invalidations."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from django.db.models import Model

from cache_invalidation.tags import check_names, is_catch_all

Operation = Literal["create", "update", "delete", "m2m", "manual"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One observed write to one row, or to rows of which it is not known which.

    `pk` is None when the rows are not known. `old` is the row before the write, read under its
    lock, and `new` the one after it; each is None where there is none or where no rule asked.
    """

    model: type[Model]
    operation: Operation
    using: str
    pk: Any = None
    old: Model | None = None
    new: Model | None = None

    @property
    def instances(self) -> tuple[Model, ...]:
        """The states of the row that are known: before and after."""
        return tuple(state for state in (self.old, self.new) if state is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalidation:
    """What stopped being true: tags, plain cache keys and key patterns.

    Raises `ValueError`, naming the offender, for a name that is empty, not a string, longer than
    250 characters or has control characters, and for a pattern that matches every key unless
    `everything` is set.
    """

    tags: frozenset[str] = field(default=frozenset())
    keys: frozenset[str] = field(default=frozenset())
    patterns: frozenset[str] = field(default=frozenset())
    entity_type: str | None = None
    cause: str = "manual"

    def __init__(
        self,
        *,
        tags: Iterable[str] = (),
        keys: Iterable[str] = (),
        patterns: Iterable[str] = (),
        entity_type: str | None = None,
        cause: str = "manual",
        everything: bool = False,
    ) -> None:
        for pattern in (patterns := check_names(patterns, "pattern")):
            if is_catch_all(pattern) and not everything:
                raise ValueError(
                    f"The pattern {pattern!r} would delete every key of the cache; "
                    "pass everything=True if that is what you want."
                )
        # A frozen dataclass whose arguments are wider than its attributes has to say so by hand.
        assign = object.__setattr__
        assign(self, "tags", frozenset(check_names(tags, "tag")))
        assign(self, "keys", frozenset(check_names(keys, "key")))
        assign(self, "patterns", frozenset(patterns))
        assign(self, "entity_type", entity_type)
        assign(self, "cause", cause)

    def __bool__(self) -> bool:
        return bool(self.tags or self.keys or self.patterns)


class ModelInvalidation:
    """What a write to a row of a model makes stale, besides its own row and model tags.

    Templates resolve against the row, with ``__`` lookups, for its old and for its new state.
    """

    #: Templates of the tags to drop.
    tags: ClassVar[Sequence[str]] = ()

    #: Templates of plain cache keys to delete, which the project sets by itself.
    keys: ClassVar[Sequence[str]] = ()

    #: Templates of key patterns to delete.
    patterns: ClassVar[Sequence[str]] = ()

    #: What the rule declares fires only when one of these fields changed. The tags of the row and
    #: of the model are dropped all the same: something may have cached the other fields.
    fields: ClassVar[Sequence[str] | None] = None

    #: The name in the metrics; the model's label if None.
    entity_type: ClassVar[str | None] = None

    def __init__(self, model: type[Model]) -> None:
        self.model = model

    def __repr__(self) -> str:
        return f"<{type(self).__qualname__} for {self.model._meta.label}>"

    def get_tags(self, change: Change) -> Iterable[str]:
        """Return further tags that `change` makes stale, for what templates cannot say."""
        return ()

    def get_keys(self, change: Change) -> Iterable[str]:
        """Return further plain cache keys that `change` makes stale."""
        return ()

    def get_patterns(self, change: Change) -> Iterable[str]:
        """Return further key patterns that `change` makes stale."""
        return ()
