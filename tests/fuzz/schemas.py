"""What is known of models that are made up: their keys and values, and what rules say of them."""

from dataclasses import dataclass, field
from typing import Any

from django.db import connections
from django.db.models import Model

from cache_invalidation import ModelInvalidation


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

    def __repr__(self) -> str:
        return self.model.__name__

    def column(self, name: str) -> Any:
        return self.model._meta.pk if name == "pk" else self.model._meta.get_field(name)


@dataclass(frozen=True)
class Schema:
    seed: int
    alias: str
    tables: tuple[Table, ...]
    # What a rule says of which model.
    rules: dict[type[Model], type[ModelInvalidation]]
    wipe: str

    def describe(self) -> str:
        """Return the models as they would stand in a project, for the report of a failure."""
        lines = []
        for table in self.tables:
            bases = ", ".join(base.__name__ for base in table.model.__bases__)
            lines.append(f"class {table!r}({bases}):")
            for column in (*table.model._meta.local_fields, *table.model._meta.local_many_to_many):
                _, _, args, kwargs = column.deconstruct()
                said = ", ".join([*map(repr, args), *(f"{k}={v!r}" for k, v in kwargs.items())])
                lines.append(f"    {column.name} = {type(column).__name__}({said})")
            rule = self.rules.get(table.model)
            if rule is not None:
                lines.append(f"    # {rule.tags=} {rule.track=} {rule.fields=}")
        return "\n".join(lines)


def tag_of(table: Table, name: str) -> str:
    """Return the family of the tags that a rule gives for the values of a column."""
    return f"{table!r}-{name}"


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
