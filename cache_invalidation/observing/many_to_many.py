"""What a write to the table of a many-to-many relation means: the rows at both ends have changed.

This is about tables that Django has made for a relation. A statement on one of them says all of it,
so no signal is needed, for which Django would have to look first what is there.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from itertools import chain
from types import MappingProxyType
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from cache_invalidation.context import during
from cache_invalidation.observing.keys import Keys, key_spelled, keys_written, sets_of
from cache_invalidation.observing.rows_written import Links, Written, rows_written
from cache_invalidation.rules import catalog
from cache_invalidation.rules.registry import registry
from cache_invalidation.sql import Kind, Statement, Write
from cache_invalidation.tags import table_of
from cache_invalidation.transactions.open_batches import batches

# By the model of relations: tells what their foreign keys hold in those, of some primary keys, that
# do not go along with a row at one end; None if that is not known.
Left = Mapping[type[Model], Callable[[Sequence[Any]], Mapping[Any, Keys] | None]]

# What the foreign key to the other end holds in all relations of rows at one end, by that to these.
Held = Mapping[Any, Mapping[Any, Keys]]

# Whether all relations that are deleted in this thread or task go along with a row at one end; and
# what is known of them then.
_go_along: ContextVar[Held | None] = ContextVar("cache_invalidation_go_along", default=None)
# Of the relations that Django has loaded to delete them.
_left: ContextVar[Left] = ContextVar("cache_invalidation_left", default=MappingProxyType({}))


def all_written(
    statement: Statement,
    params: Any,
    many: bool,
    connection: BaseDatabaseWrapper,
    is_accounted_for: Callable[[type[Model]], bool] = lambda model: False,
) -> Iterator[Written]:
    """Yield the rows of watched models that `statement` writes, and those at the ends of relations.

    See `rows_written` and `_ends_written`. Where it is not known which rows of a model are written,
    those that are known may be any as well: what is done to the others may be done to these. What
    is left of them are their `links`.
    """
    given = sets_of(params, many)
    found = [
        replace(each, links=_known(_values(each.model, ends, each.write, given, connection)))
        if (ends := catalog.links().get(each.model))
        else each
        for each in rows_written(statement, params, many, connection, is_accounted_for)
    ]
    found += _ends_written(statement, params, many, connection)
    unknown = {each.model for each in found if each.keys is None}
    for each in found:
        if each.keys is None or each.model not in unknown:
            yield each
        elif each.links:
            yield replace(each, keys=None)


def _ends_written(
    statement: Statement, params: Any, many: bool, connection: BaseDatabaseWrapper
) -> Iterator[Written]:
    """Yield the rows of watched models at the ends of the relations that `statement` changes.

    Those are left out of which a signal tells, and what goes along with the row at one end: that
    this one goes is told, and the one at the other end has not been written.
    """
    given = sets_of(params, many)
    for write in statement.writes:
        for between in catalog.models_by_table()[write.table]:
            ends: Sequence[Any] | None = catalog.many_to_many().get(between)
            if ends is None:
                continue
            if write.kind == "delete" and _go_along.get() is not None:
                continue
            if between in catalog.symmetrical():
                ends = ends[:1]  # The other way round, it is there in a row of its own.
            values = _values(between, ends, write, given, connection, with_along=False)
            if _is_announced(between, write, values, connection):
                continue
            for end, held in values.items():
                model = table_of(end.related_model)
                if held != () and registry.plan(model):
                    keys = held if end.target_field.primary_key else None
                    names = catalog.relation_names().get(end)
                    yield Written(model, write, keys, names, is_end=True)


@dataclass(frozen=True)
class Announced:
    """What a batch has a note under: the relations of which a signal is going to tell.

    Those whose columns hold `values`, or anything where there are None. Receivers of the project
    may write to the same table before or after ours, and of other relations nobody else tells.
    """

    between: type[Model]
    kind: Kind
    values: tuple[tuple[Any, frozenset[Any] | None], ...]

    def includes(self, found: Mapping[Any, Keys]) -> bool:
        """Whether all relations with the values `found` are among them."""
        return bool(self.values) and all(
            told is None or ((held := found.get(end)) is not None and told.issuperset(held))
            for end, told in self.values
        )


def announced(
    between: type[Model],
    kind: Kind,
    values: Mapping[str, Collection[Any] | None],
    connection: BaseDatabaseWrapper,
) -> Announced:
    """Return the note about relations by what their foreign keys hold; about none, if unknown."""
    told: list[tuple[Any, frozenset[Any] | None]] = []
    for name, held in values.items():
        end = between._meta.get_field(name)
        if held is None:
            told.append((end, None))
        elif (keys := spelled(end, held, connection)) is not None:
            told.append((end, frozenset(keys)))
        else:
            return Announced(between, kind, ())
    return Announced(between, kind, tuple(told))


def _is_announced(
    between: type[Model],
    write: Write,
    values: Mapping[Any, Keys],
    connection: BaseDatabaseWrapper,
) -> bool:
    return any(
        isinstance(note, Announced)
        and (note.between, note.kind) == (between, write.kind)
        and note.includes(values)
        for batch in batches(connection)
        for note in batch.started
    )


def _values(
    between: type[Model],
    ends: Sequence[Any],
    write: Write,
    given: Sequence[Any] | None,
    connection: BaseDatabaseWrapper,
    *,
    with_along: bool = True,
) -> dict[Any, Keys]:
    """Return what each of the foreign keys `ends` holds in the relations that are written.

    None where that is not known; nothing where all go along with a row, if these are left out. What
    rows held that Django has loaded is not believed: others may have updated them since.
    """
    if write.kind == "delete" and not with_along and (tell := _left.get().get(between)):
        named = keys_written(between._meta.pk_fields, write, given, connection)
        if named and (left := tell(named)) is not None:
            return {end: left[end] for end in ends}
    named_by = {end: keys_written([end], write, given, connection) for end in ends}
    if write.kind == "delete" and (held := _go_along.get()):
        for end in [end for end, keys in named_by.items() if keys is not None and end in held]:
            known = {other: keys for other, keys in named_by.items() if keys is not None}
            named_by |= {**held[end], **known}
    return named_by


def links_inserted(
    statement: Statement, params: Any, many: bool, connection: BaseDatabaseWrapper
) -> dict[Any, Keys]:
    """Return what the foreign keys of relations hold in the rows that `statement` inserts."""
    given, links = sets_of(params, many), catalog.links()
    found: dict[Any, Keys] = {}
    for write in statement.writes:
        for model in catalog.models_by_table()[write.table] if write.kind == "insert" else ():
            if ends := links.get(model):  # Each save comes here, and few are of such a model.
                found |= _values(model, ends, write, given, connection)
    return found


def _known(values: Mapping[Any, Keys]) -> Links:
    return {end: held for end, held in values.items() if held is not None}


def spelled(end: Any, values: Iterable[Any], connection: BaseDatabaseWrapper) -> Keys:
    """Return what a foreign key holds as tags spell it; None if one of its values is not known."""
    found = dict.fromkeys(key_spelled([end], (value,), connection) for value in values)
    return None if None in found else tuple(found)


def going_along(held: Held) -> AbstractContextManager[None]:
    """Have the block delete relations of rows that are deleted as well."""
    return during(_go_along, held)


def deleting(left: Left) -> AbstractContextManager[None]:
    """Have the block delete relations of which `left` tells those that go by themselves."""
    return during(_left, {**_left.get(), **left})


def is_along(between: type[Model], rows: Mapping[type[Model], Sequence[Model]]) -> bool:
    """Whether relations that are deleted with `rows`, by their models, go along with one end."""
    ends: Sequence[Any] = catalog.many_to_many().get(between, ())
    links = {field for field in between._meta.concrete_fields if field.remote_field}
    if not ends or links - {*ends}:
        return False  # It may be a row of another kind that they go with.
    models = set(map(table_of, rows)) - {between}
    return any(table_of(end.related_model) in models for end in ends)


def worth_asking(rows: Mapping[type[Model], Sequence[Model]]) -> Iterator[type[Model]]:
    """Yield the models of those relations among `rows` that are deleted with a row at one end.

    Where no rule looks at the values of either end, it is not worth a query which these are.
    """
    for between in catalog.many_to_many().keys() & rows.keys():
        ends: Sequence[Any] = catalog.many_to_many()[between]
        if any(keys_among(rows, end) for end in ends) and any(
            registry.plan(table_of(end.related_model)).needs_state for end in ends
        ):
            yield between


def left_of(
    between: type[Model],
    relations: Iterable[Model],
    rows: Mapping[type[Model], Sequence[Model]],
    connection: BaseDatabaseWrapper,
) -> dict[Any, Keys]:
    """Return what the foreign keys of those `relations` hold that do not go along with `rows`."""

    def held(relation: Model, end: Any) -> Any:
        return spelled(end, [getattr(relation, end.attname)], connection)

    ends: Sequence[Any] = catalog.many_to_many()[between]
    going = {end: set(spelled(end, keys_among(rows, end), connection) or ()) for end in ends}
    left = [
        relation
        for relation in relations
        if not any(going[end].issuperset(held(relation, end) or (None,)) for end in ends)
    ]
    return {
        end: spelled(end, (getattr(each, end.attname) for each in left), connection) for end in ends
    }


def keys_among(rows: Mapping[type[Model], Sequence[Model]], end: Any) -> list[Any]:
    """Return by what the foreign key `end` refers to those of `rows` that are of its model."""
    model = table_of(end.related_model)
    going = [each for kind, each in rows.items() if table_of(kind) is model]
    return [getattr(row, end.target_field.attname) for row in chain.from_iterable(going)]
