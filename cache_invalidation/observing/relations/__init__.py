"""What the tables of the models are in the database: there, it can be something else.

The database is asked when a read of a table is recorded, and its answer is kept for as long as it
is true. Whatever can change it is a definition (DDL), which drops the root tag: so an answer is
that of one version of the root tag, and of whoever has sampled this version *before* the database
was asked.
"""

from collections.abc import Hashable
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from cache_invalidation.connections import in_transaction
from cache_invalidation.observing.relations import postgresql, sqlite
from cache_invalidation.observing.relations.declared import does_more, has_columns_of
from cache_invalidation.observing.relations.relation import (
    ABSENT,
    AS_DECLARED,
    UNTOLD,
    Candidates,
    Name,
    NotTold,
    Relation,
)
from cache_invalidation.rules import catalog
from cache_invalidation.sql import Read
from cache_invalidation.sql.names import parts
from cache_invalidation.tags import table_of

__all__ = [
    "AS_DECLARED",
    "Relation",
    "forget",
    "holds_to",
    "keeps_values",
    "kept_relation",
    "relation",
    "writes_more",
]

DATABASES: Final = 100  # of which a process keeps the answers

_ANSWERS: Final = "_cache_invalidation_relations"


@dataclass(slots=True)
class Answers:
    """What a database has said under one version of the root tag, about the tables of models."""

    root: str
    tables: frozenset[str]
    candidates: dict[Name, Candidates] = field(default_factory=dict)
    # Whether the columns of a model keep what they are given, and whether more is written.
    keeps: dict[type[Model], bool] = field(default_factory=dict)
    writes_more: dict[type[Model], bool] = field(default_factory=dict)


def relation(connection: BaseDatabaseWrapper, read: Read) -> Relation:
    """Return what `read` reads, as the database says now."""
    try:
        connection.ensure_connection()
    except DatabaseError:
        return UNTOLD
    return _relation(connection, read, Answers("", catalog.tables()))


def kept_relation(connection: BaseDatabaseWrapper, read: Read, root: str | None) -> Relation:
    """Return what `read` reads, as the database has said under the version `root` of the root tag.

    None stands for a reader whose value is not going to be stored: nobody is asked for its sake.
    """
    if root is None:
        return AS_DECLARED
    return _relation(connection, read, _kept(connection, root))


def keeps_values(connection: BaseDatabaseWrapper, model: type[Model]) -> bool:
    """Whether columns of `model` hold what they are given, as far as Django makes columns do that.

    This is for writers. They know no versions, and what was said last is taken for true.
    """
    answers = _kept(connection, None)
    if model not in answers.keeps:
        try:
            answers.keeps[model] = all(has_columns_of(connection, t) for t in _tables_of(model))
        except (NotTold, connection.Database.Error):  # type: ignore[attr-defined]
            return False
    return answers.keeps[model] and not _writes_more(connection, model)


def writes_more(connection: BaseDatabaseWrapper, model: type[Model]) -> bool:
    """Whether a statement may do more to rows of `model` than it says, as where a trigger is.

    This is for writers, before they write. In a transaction on SQLite, where whoever reads first
    cannot wait for the lock, it may until somebody has asked without one, or after a write.
    """
    is_asked = model in _kept(connection, None).writes_more
    if not is_asked and connection.vendor == "sqlite" and in_transaction(connection):
        return True
    return _writes_more(connection, model)


def holds_to(connection: BaseDatabaseWrapper, link: Any) -> bool:
    """Whether nobody else adds a row that refers by `link` to a row which is locked for deletion.

    The database looks for that row, and waits for the lock, if it holds to the foreign key. Where
    there are no such locks, it has one writer at a time. This is for writers, as `keeps_values` is.
    """
    if not connection.features.has_select_for_update:
        return True
    table, target = (field.model._meta.db_table for field in (link, link.target_field))
    read = Read(table=table, named=parts(table))
    found = _relation(connection, read, _kept(connection, None))
    if found.columns is None:
        return bool(link.db_constraint)  # It was not asked.
    return found.reference(link.column, parts(target)[-1], link.target_field.column) is not None


def _writes_more(connection: BaseDatabaseWrapper, model: type[Model]) -> bool:
    answers = _kept(connection, None)
    if model not in answers.writes_more:
        try:
            connection.ensure_connection()
            found = any(does_more(connection, table) for table in _tables_of(model))
        except (NotTold, DatabaseError, connection.Database.Error):  # type: ignore[attr-defined]
            return True
        answers.writes_more[model] = found
    return answers.writes_more[model]


def _tables_of(model: type[Model]) -> set[type[Model]]:
    return {table_of(each) for each in (model, *model._meta.all_parents)}


def forget(connection: BaseDatabaseWrapper) -> None:
    """Ask the database again: something is defined anew."""
    place, name = _place(connection)
    place.pop(name, None)


_by_database: dict[Hashable, Answers] = {}


def _place(connection: BaseDatabaseWrapper) -> tuple[dict[Hashable, Answers], Hashable]:
    # A connection to SQLite may have temporary tables and attached databases of its own, and is
    # asked in no time. About what a server says, see `postgresql.CandidatesByOid`.
    if connection.vendor == "sqlite":
        return connection.__dict__.setdefault(_ANSWERS, {}), connection.connection
    names = (connection.settings_dict.get(name) for name in ("NAME", "HOST", "PORT"))
    return _by_database, (connection.alias, *names)


def _kept(connection: BaseDatabaseWrapper, root: str | None) -> Answers:
    """Return the answers under the version `root` of the root tag; under any, if it is None."""
    place, name = _place(connection)
    answers = place.get(name)
    tables = catalog.tables()
    if (
        answers is None
        or (root is not None and answers.root != root)
        or answers.tables is not tables
    ):
        if place is not _by_database or len(place) >= DATABASES:
            place.clear()
        answers = place[name] = Answers(root or "", tables)
    return answers


def _relation(connection: BaseDatabaseWrapper, read: Read, answers: Answers) -> Relation:
    name = read.named or parts(read.table)[-1:]
    try:
        candidates = answers.candidates.get(name)
        if candidates is None:
            candidates = _ask(connection, name, answers.tables)
            if candidates.found:
                answers.candidates[name] = candidates  # What is not there may come, unseen.
        if read.named is not None:
            return candidates.meant(connection)
    except (NotTold, connection.Database.Error):  # type: ignore[attr-defined]
        return UNTOLD
    # A schema may be named, and nobody knows which: it can be any of them.
    found = candidates.found or [ABSENT]
    relatives = frozenset().union(*(each.relatives for each in found))
    return next((e for e in found if e.instead), Relation(relatives=relatives))


def _ask(connection: BaseDatabaseWrapper, name: Name, tables: frozenset[str]) -> Candidates:
    match connection.vendor:
        case "postgresql":
            return postgresql.candidates(connection, name, _last_parts(tables))
        case "sqlite":
            return sqlite.candidates(connection, name)
    return _listed(connection, name)


@lru_cache(maxsize=16)
def _last_parts(tables: frozenset[str]) -> list[str]:
    return sorted({parts(table)[-1] for table in tables})


def _listed(connection: BaseDatabaseWrapper, name: Name) -> Candidates:
    """Return what Django's introspection tells of any database: whether it is a view."""
    with closing(connection.create_cursor()) as cursor:
        listed = connection.introspection.get_table_list(cursor)
    views = {info.name.lower() for info in listed if info.type == "v"}
    is_view = name[-1].lower() in views
    return Candidates([Relation(instead="view") if is_view else AS_DECLARED])
