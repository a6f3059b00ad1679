"""What a project declares, and what is observed: rules and changes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from django.db.models import Field, Model

from cache_invalidation.tags import table_of

Operation = Literal["create", "update", "delete", "m2m", "manual"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One observed write to one row, or to rows of which it is not known which.

    `pk` is None when the rows are not known. `old` is the row before the write, read under its
    lock, and `new` the one after it; each is None where there is none or where no rule asked.
    `fields` are the names of those that an update assigned, for `save()` nearly all, or of the
    many-to-many relation that changed; None if that is not known. `links` are foreign keys in the
    table of a many-to-many relation: what these hold in any row that the write is about.
    """

    model: type[Model]
    operation: Operation
    using: str
    pk: Any = None
    old: Model | None = None
    new: Model | None = None
    fields: frozenset[str] | None = None
    links: Mapping["Field[Any, Any]", tuple[Any, ...]] = field(default_factory=dict, hash=False)

    @property
    def instances(self) -> tuple[Model, ...]:
        """The states of the row that are known: before and after. See `is_known`.

        A rule that names something for each of them need not ask whether these are all: whatever
        stands for the others is dropped as well.
        """
        return tuple(state for state in (self.old, self.new) if state is not None)

    @property
    def is_known(self) -> bool:
        """Whether `instances` are all states that the row has been in, before and after.

        If not, what can be named by looking at them is not all that the change makes stale: rows
        that were written by raw SQL, or more than ``ROW_TAG_LIMIT`` of them, have none, and those
        of ``bulk_create(ignore_conflicts=True)`` have no key.
        """
        if any(state.pk is None for state in self.instances):
            return False
        if self.operation == "create":
            return self.new is not None
        if self.operation == "delete":
            return self.old is not None
        if self.operation == "update":
            return self.old is not None and self.new is not None
        return bool(self.instances)


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
    #: of the model are dropped all the same: something may have cached the other fields. One tag,
    #: key or pattern has fields of its own with `Tag`, `Key` or `Pattern`.
    fields: ClassVar[Sequence[str] | None] = None

    #: An update that changes nothing but these fields is no change: it drops nothing of this rule,
    #: and no tag of the row, of the model or of `track` either. What shows these fields stays old
    #: until something else drops it.
    ignore: ClassVar[Sequence[str]] = ()

    #: Fields that change more often than the rest: a stock, a counter. An update that changes
    #: nothing but these drops what reads one of them, and leaves what is found to read none. What
    #: the rule declares fires as ever.
    volatile: ClassVar[Sequence[str]] = ()

    #: The families of what the code of the rule names, ``["category"]`` for ``category:3``. Where
    #: it asks for rows that are not known, it cannot name all of them, and these families are
    #: dropped; everything is, if this is None. An empty list says that it does not look at rows, or
    #: asks `Change.is_known`.
    families: ClassVar[Sequence[str] | None] = None

    #: Fields by which rows are looked up. What `cached` finds out to have read rows by the value of
    #: one of them depends on the rows with that value, and not on every row of the table.
    track: ClassVar[Sequence[str]] = ()

    #: The name in the metrics; the model's label if None.
    entity_type: ClassVar[str | None] = None

    def __init__(self, model: type[Model]) -> None:
        self.model = model

    def __repr__(self) -> str:
        kind = type(self)
        return f"<{kind.__module__}.{kind.__qualname__} for {self.model._meta.label}>"

    def get_tags(self, change: Change) -> Iterable[str]:
        """Return further tags that `change` makes stale, for what templates cannot say.

        Name them for each of ``change.instances``. If those are not all, what else may be stale is
        dropped as `families` say.
        """
        return ()

    def get_keys(self, change: Change) -> Iterable[str]:
        """Return further plain cache keys that `change` makes stale.

        Name them for each of ``change.instances``. If those are not all, the keys that begin with
        one of the `families` and a colon are deleted.
        """
        return ()

    def get_patterns(self, change: Change) -> Iterable[str]:
        """Return further key patterns that `change` makes stale. See `get_keys`."""
        return ()


def check_callable(function: Any, what: str, arguments: str) -> None:
    """Raise `TypeError`, with what is expected, unless `function` can be called."""
    if not callable(function):
        raise TypeError(f"{function!r} cannot be called: {what} is a function of {arguments}.")


def check_model(model: Any) -> None:
    """Raise `TypeError`, with the cure, for what no rule can be registered for."""
    if not (isinstance(model, type) and issubclass(model, Model)):
        raise TypeError(
            f"Rules are registered for model classes, not for {model!r}{_cure_for(model)}."
        )
    if model._meta.abstract or model._meta.swapped:
        raise TypeError(
            f"{model.__qualname__} has no table of its own; register the models that have one."
        )


def _cure_for(model: Any) -> str:
    """Return what to write instead of a wrong model, as the end of a sentence."""
    if isinstance(model, type) and issubclass(model, ModelInvalidation):
        return (
            f": write @register(Model), with the models that {model.__name__} is for, or "
            f"registry.register(Model, {model.__name__})"
        )
    if isinstance(model, Model):
        return f": name its class, {type(model).__name__}"
    if isinstance(model, list | tuple | set | frozenset):
        return ": name them one after the other, register(One, Another)"
    if isinstance(model, str):
        return ": import the model"
    return ""


def check_declaration(declaration: Any) -> None:
    """Raise `TypeError`, with the cure, for what is no rule."""
    if not (isinstance(declaration, type) and issubclass(declaration, ModelInvalidation)):
        raise TypeError(
            f"A rule is a subclass of ModelInvalidation, not {declaration!r}: write class "
            "MyRule(ModelInvalidation), and register the class."
        )


def links_to(child: type[Model], parent: type[Model]) -> Iterator[Any]:
    """Yield the fields that lead from a multi-table child to its row in `parent`, step by step."""
    target = table_of(parent)
    while child is not target:
        link: Any = child._meta.get_ancestor_link(target)
        yield link
        child = link.related_model


def shares_key(child: type[Model], parent: type[Model]) -> bool:
    """Whether a row of a multi-table child has the primary key of its row in `parent`."""
    return all(link.primary_key for link in links_to(child, parent))
