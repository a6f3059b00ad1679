"""What a project declares, made ready for use on the rows of a table."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, Final, cast

from django.core.exceptions import FieldDoesNotExist
from django.db.models import CompositePrimaryKey, Field, ForeignObject, Model

from cache_invalidation.rules.catalog import links
from cache_invalidation.rules.declarations import ModelInvalidation
from cache_invalidation.rules.named import Named
from cache_invalidation.rules.templates import Kind, Template, has_column, parse
from cache_invalidation.tags import column_tag, escape_glob, family_tags, model_tag, table_of

#: The methods of a `ModelInvalidation` that say what templates cannot, by what they name.
CODE: Final[Mapping[str, Kind]] = {"get_tags": "tag", "get_keys": "key", "get_patterns": "pattern"}


def overrides(declaration: ModelInvalidation, name: str) -> bool:
    return getattr(type(declaration), name) is not getattr(ModelInvalidation, name)


def field_names(model: type[Model], names: Iterable[str]) -> frozenset[str]:
    """Return the names of the fields called `names`, which may be those of their attributes.

    What has no column of its own, such as a generic foreign key, stands for those that it is in.
    """
    known = {field.attname: field.name for field in model._meta.concrete_fields}
    return frozenset().union(*(_in_columns(model, known.get(name, name)) for name in names))


def _in_columns(model: type[Model], name: str) -> Iterable[str]:
    with suppress(FieldDoesNotExist):
        field: Any = model._meta.get_field(name)
        if isinstance(field, CompositePrimaryKey):
            return cast("Iterable[str]", field.field_names)
        if hasattr(field, "fk_field"):
            return field.ct_field, field.fk_field
        if isinstance(field, ForeignObject) and not field.concrete:
            return [column.name for column in field.local_related_fields]
    return (name,)


def is_written(model: type[Model], name: str) -> bool:
    """Whether a write to `model` says whether what is called `name` changes."""
    try:
        field: Any = model._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return bool(field.concrete or field.many_to_many)


def _listed(names: Sequence[str]) -> Sequence[str]:
    """Return `names`, also where only one is there and no list; a system check says so."""
    return [names] if isinstance(names, str) else names


class Rule:
    """A `ModelInvalidation` made ready for use on the rows of one table."""

    def __init__(
        self, declaration: ModelInvalidation, *, goes_without_saying: bool = False
    ) -> None:
        self.declaration = declaration
        self.goes_without_saying = goes_without_saying
        self.model = table_of(declaration.model)
        self.model_tag = model_tag(self.model)
        self.entity_type = declaration.entity_type or declaration.model._meta.label_lower
        fields = declaration.fields
        self.fields = None if fields is None else frozenset(_listed(fields))
        self.code = tuple(name for name in CODE if overrides(declaration, name))

        # The family tags of `families`; None if they are not declared, or nobody understands them.
        self.families: frozenset[str] | None = None
        self.families_defect: str | None = None
        try:
            if declaration.families is not None:
                self.families = family_tags(declaration.families)
        except ValueError as error:
            self.families_defect = str(error)
        # What the code has named besides, so that `families` cannot be all.
        self.undeclared: set[str] = set()
        # What was logged about the rule, once.
        self.said: set[str] = set()

        self.templates: tuple[Template, ...] = ()
        # Why the templates cannot be used. A system check says it; a write must not fail of it.
        self.defect: Exception | None = None
        try:
            self.templates = tuple(self._parse())
        except (TypeError, ValueError) as error:
            self.defect = error

    def _parse(self) -> Iterator[Template]:
        kinds: tuple[Kind, ...] = ("tag", "key", "pattern")
        for kind in kinds:
            sources = getattr(self.declaration, f"{kind}s")
            if isinstance(sources, str) or not isinstance(sources, Iterable):
                raise TypeError(f"{kind}s is {sources!r}, which is no list of strings.")
            for source in sources:
                if isinstance(source, Named) and source.kind != kind:
                    raise TypeError(f"{kind}s has the {source.kind} {str(source)!r}.")
                fields = source.fields if isinstance(source, Named) else None
                yield parse(source if fields is None else str(source), kind, fields)

    @cached_property
    def track(self) -> "tuple[Field[Any, Any], ...]":
        """The columns that the rule declares to be tracked."""
        found: list[Field[Any, Any]] = []
        for name in _listed(self.declaration.track):
            with suppress(FieldDoesNotExist):  # A system check says so.
                column: Any = self.model._meta.get_field(name)
                if has_column(column):
                    found.append(column)
        return tuple(found)

    @cached_property
    def tracked(self) -> "Mapping[Field[Any, Any], Template]":
        """The template of the tag for each column that is tracked, by its field.

        Those of many-to-many relations are without being declared: mostly, the statement says what
        they hold.
        """
        return {
            column: parse(f"{column_tag(self.model, column.attname)}:{{{column.attname}}}")
            for column in (*self.track, *links().get(self.model, ()))
        }

    @cached_property
    def needs_state(self) -> bool:
        """Whether the rule looks at anything of the row but its primary key."""
        paths = frozenset(column.attname for column in self.track).union(
            *(template.paths for template in self.templates)
        )
        is_conditional = self.fields is not None or any(t.fields for t in self.templates)
        looks = self.code or self.ignore or self.volatile
        return bool(looks) or is_conditional or not paths <= self.key_paths

    @cached_property
    def key_paths(self) -> frozenset[str]:
        """The ways in which a template can name the primary key."""
        key = self.model._meta.pk
        return frozenset({"pk", key.name, key.attname})

    @cached_property
    def value_paths(self) -> frozenset[str]:
        """The ways in which a template can name what is in the columns of a row, but its key."""
        columns = self.model._meta.concrete_fields
        paths = {c.attname for c in columns} | {c.name for c in columns if not c.is_relation}
        return frozenset(paths - self.key_paths)

    @cached_property
    def ignore(self) -> frozenset[str]:
        """The names of the fields that are ignored."""
        return self._changing(self.declaration.ignore)

    @cached_property
    def volatile(self) -> frozenset[str]:
        """The names of the fields that are volatile."""
        return self._changing(self.declaration.volatile)

    def _changing(self, names: Sequence[str]) -> frozenset[str]:
        """Return the names of fields without the key: the row is another one if that changes.

        A relation without a column is none either: no update changes it.
        """
        names = _listed(names)
        if not isinstance(names, Iterable):
            return frozenset()  # A system check says so.
        keys = self.model._meta.pk_fields
        return frozenset(
            column.name
            for column in self.model._meta.concrete_fields
            if column not in keys and not {column.name, column.attname}.isdisjoint(names)
        )

    def concerns(self, fields: frozenset[str]) -> bool:
        """Whether an update of these fields, by their names, may fire what the rule declares."""
        if fields <= self.ignore:
            return False
        conditions = [self.fields_of(template) for template in self.templates]
        conditions += [self.fields] * bool(self.code)
        return any(
            condition is None or not fields.isdisjoint(field_names(self.model, condition))
            for condition in conditions
        )

    def fields_of(self, template: Template) -> frozenset[str] | None:
        """Return the fields of which one has to change for `template` to count; None for any."""
        return self.fields if template.fields is None else template.fields

    @property
    def key_families(self) -> frozenset[str]:
        """Patterns for all keys that the code may name, as far as the rule says; none without."""
        if self.code in ((), ("get_tags",)):
            return frozenset()
        return frozenset(f"{escape_glob(tag[:-2])}:*" for tag in self.families or ())
