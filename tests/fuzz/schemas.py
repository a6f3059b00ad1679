"""What is known of models that are made up: their keys and values, and what rules say of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from django.db import connections
from django.db.models import Model

from cache_invalidation import ModelInvalidation

#: A column that is written as any other, and of which what is read shows nothing. A rule may ignore
#: it; then nothing else must be ignored along with it.
UNREAD: Final = "i"

# The usual models, those that few projects have, and those that are related in all ways.
Grammar = Literal["usual", "unusual", "related"]


@dataclass(frozen=True)
class Table:
    """A model, and the values that are used for its columns."""

    model: type[Model]
    keys: tuple[Any, ...]
    # By the name of the attribute, each writable column but the key, and those of parents.
    pools: dict[str, tuple[Any, ...]]
    relations: dict[str, "Table"] = field(default_factory=dict)
    many: dict[str, "Table"] = field(default_factory=dict)
    parent: "Table | None" = None
    # A number that its own table has.
    number: str = "n"
    # Of a child, by its key: the keys that its rows have in the tables above.
    above: Mapping[Any, Mapping[str, Any]] = field(default_factory=dict)
    # Whether the database takes texts for equal that are not the same.
    is_loose: bool = False
    # What refers to rows of several models, and which these are.
    generic: Mapping[str, Sequence[type[Model]]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return self.model.__name__

    def column(self, name: str) -> Any:
        return self.model._meta.pk if name == "pk" else self.model._meta.get_field(name)

    def keys_above(self, key: Any) -> Mapping[str, Any]:
        """Return the keys that the row has in the tables above, by the names of the attributes."""
        return self.above.get(key, {})

    def pool(self, name: str) -> tuple[Any, ...]:
        """Return the values for a column of its own table, keys and links to parents included."""
        if name == self.model._meta.pk.attname:
            return self.keys
        if name in self.pools:
            return self.pools[name]
        target = self.column(name).target_field.attname
        return tuple(self.keys_above(key).get(target, key) for key in self.keys)


@dataclass(frozen=True)
class Schema:
    seed: int
    alias: str
    grammar: Grammar
    tables: tuple[Table, ...]
    # What rules say of which model.
    rules: dict[type[Model], tuple[type[ModelInvalidation], ...]]
    wipe: str
    # What shows rows of `tables` under a name of its own: views, partitions.
    shown: tuple[Table, ...] = ()

    def describe(self) -> str:
        """Return the models as they would stand in a project, for the report of a failure."""
        lines = [f"# {self.seed}, {self.grammar}, {self.alias}"]
        for table in (*self.tables, *self.shown):
            bases = ", ".join(base.__name__ for base in table.model.__bases__)
            lines.append(f"class {table!r}({bases}):  # {table.model._meta.db_table}")
            for column in (*table.model._meta.local_fields, *table.model._meta.local_many_to_many):
                _, _, args, kwargs = column.deconstruct()
                said = ", ".join([*map(repr, args), *(f"{k}={v!r}" for k, v in kwargs.items())])
                lines.append(f"    {column.name} = {type(column).__name__}({said})")
            for rule in self.rules.get(table.model, ()):
                tags = [(str(tag), *getattr(tag, "fields", ())) for tag in rule.tags]
                code = ""
                if rule.get_tags is not ModelInvalidation.get_tags:
                    code = f"{rule.get_tags.__name__}() {rule.families=} "
                lines.append(f"    # {code}{tags=} {rule.track=} {rule.fields=}")
                lines.append(f"    # {rule.ignore=} {rule.volatile=}")
        return "\n".join(lines)


def relations_to(model: type[Model]) -> list[Any]:
    """Return the relations of others to `model` that it has an attribute for."""
    return [each for each in model._meta.related_objects if each.get_accessor_name()]


def tag_of(table: Table, name: str) -> str:
    """Return the family of the tags that a rule gives for the values of a column."""
    return f"{table!r}-{name}"


def tag_value(value: Any) -> str:
    """Return what follows the family in such a tag, as templates spell it."""
    return str(value).replace("*", "%2A")


def literal(value: Any) -> str:
    """Return `value` as it is stored, as SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


def stored(table: Table, name: str, value: Any, alias: str) -> Any:
    """Return `value` of a column as the driver takes it."""
    return table.column(name).get_db_prep_value(value, connections[alias])


def local_columns(table: Table) -> list[tuple[str, str]]:
    """Return the attributes and columns of the model's own table that can be written."""
    return [
        (column.attname, str(column.column))
        for column in table.model._meta.local_concrete_fields
        if not column.generated
    ]
