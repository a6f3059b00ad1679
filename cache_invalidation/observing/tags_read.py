"""The tags that stand for what a statement of SQL reads."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Model

from cache_invalidation.observing.keys import key_spelled, keys_named, values_bound
from cache_invalidation.observing.relations import AS_DECLARED, Relation
from cache_invalidation.rules import catalog
from cache_invalidation.rules.registry import registry
from cache_invalidation.sql import Condition, Read, Statement, folded
from cache_invalidation.sql.names import names_for
from cache_invalidation.tags import model_tag, row_tag, shorten, with_volatile

# A query for more rows than that depends on their table: each tag makes a hit a bit slower.
ROWS_READ_LIMIT: Final = 100


def tags_read(
    statement: Statement,
    params: Any,
    many: bool,
    connection: BaseDatabaseWrapper,
    relation_of: Callable[[Read], Relation] = lambda read: AS_DECLARED,
) -> dict[type[Model], frozenset[str]]:
    """Return, by model, the tags that stand for what `statement` reads.

    These are the tags of rows if it asks for them by primary key, those of a column that is
    tracked if it asks by that one, or else the tag of the model. `relation_of` tells what is read
    in the database. Under whatever name it is written as well, that model is read, too. Where a
    volatile field may be read, the tags for changes of these are among them.
    """
    found: dict[type[Model], frozenset[str]] = {}
    for read in statement.reads:
        relation = relation_of(read)
        for model in catalog.models_by_table()[read.table]:
            tags = None
            if read.conditions and not many:
                tags = _tags_of_rows(model, read.conditions, params, connection, relation)
            if tags is None:
                tags = frozenset({model_tag(model)})
            found[model] = found.get(model, frozenset()) | tags
        for model in _models_called(relation.relatives):
            found[model] = found.get(model, frozenset()) | {model_tag(model)}
    for model in found:
        if reads_volatile(statement, model):
            found[model] = with_volatile(found[model])
    return found


def reads_volatile(statement: Statement, model: type[Model]) -> bool:
    """Whether `statement`, which reads rows of `model`, may read a field of these that is volatile.

    It does if any name in it is that of the column, whatever it stands for.
    """
    names = registry.plan(model).volatile.get(model)
    if not names:
        return False
    columns = (each.column or "" for each in model._meta.concrete_fields if each.name in names)
    return statement.columns is None or not statement.columns.isdisjoint(map(folded, columns))


def _models_called(names: Iterable[str]) -> Iterator[type[Model]]:
    for name in names:
        for table in names_for(catalog.tables()).tables(name):
            yield from catalog.models_by_table()[table]


def _tags_of_rows(
    model: type[Model],
    conditions: Sequence[Condition],
    params: Any,
    connection: BaseDatabaseWrapper,
    relation: Relation,
) -> frozenset[str] | None:
    key = model._meta.pk_fields
    keys = keys_named(key, conditions, params)
    if keys is not None and len(keys) <= ROWS_READ_LIMIT:
        is_exact = all(compares(field, relation, connection) for field in key)
        found = [key_spelled(key, values, connection) for values in keys] if is_exact else [None]
        if None not in found:
            return frozenset(shorten(row_tag(model, pk)) for pk in found)
    return _tags_of_column(model, conditions, params, connection, relation)


def compares(
    field: "Field[Any, Any]",
    relation: Relation,
    connection: BaseDatabaseWrapper,
    column: str | None = None,
) -> bool:
    """Whether two values of the column are equal to the database only if their tags are.

    The same goes for another `column` with values of the field.
    """
    comparison = catalog.compared_as(field)
    if comparison == "uuid" and not connection.features.has_native_uuid_field:
        comparison = "text"
    return relation.compares(column or field.column, comparison, catalog.length_of(field))


def _tags_of_column(
    model: type[Model],
    conditions: Sequence[Condition],
    params: Any,
    connection: BaseDatabaseWrapper,
    relation: Relation,
) -> frozenset[str] | None:
    for rule in registry.plan(model).own:
        if rule.model is not model:
            continue
        for field, template in rule.tracked.items():
            # What is declared is read back. Of relations, the statement is taken at its word.
            if relation.has_triggers and field not in rule.track:
                continue
            if not compares(field, relation, connection):
                continue
            for condition in conditions:
                values = values_bound(condition.values, params)
                if condition.column.lower() != (field.column or "").lower() or values is None:
                    continue
                found = [catalog.as_in_tags(field, value, connection.vendor) for value in values]
                if len(found) <= ROWS_READ_LIMIT and None not in found:
                    resolvers = ({field.attname: value}.__getitem__ for value in found)
                    return frozenset(map(template.render, resolvers))
    return None
