"""Writes to relations: by their managers, by the models between two tables, by hand."""

from collections.abc import Iterator
from typing import Any

from django.contrib.contenttypes.fields import GenericRelation
from django.db import connections
from hypothesis import strategies as st

from tests.fuzz.calls import Write, call, rows_in
from tests.fuzz.schemas import Schema, Table, relations_to, stored
from tests.fuzz.statements import STYLES, Sql


def relate(alias: str, table: Table, name: str, key: Any, action: str, others: Any) -> None:
    """Use the manager of a relation, from either side."""
    row = rows_in(table, alias).filter(pk=key).first()
    if row is None:
        return
    try:
        manager = getattr(row, name)
    except ValueError:  # The column that the others refer to is empty.
        return
    if not hasattr(manager, action):  # A foreign key that is not null cannot be removed.
        return
    columns = getattr(getattr(manager, "field", None), "foreign_related_fields", ())
    if None in [getattr(row, column.attname) for column in columns]:
        return
    others = list(manager.model._base_manager.using(alias).filter(pk__in=others).order_by("pk"))
    if action == "clear":
        manager.clear()
    elif action == "set":
        manager.set(others)
    else:
        getattr(manager, action)(*others)


def write_through(alias: str, table: Table, name: str, action: str, keys: tuple[Any, Any]) -> None:
    """Write rows of the table between two others by its own model."""
    relation: Any = table.column(name)
    through = relation.remote_field.through._base_manager.using(alias)
    source, target = (
        f"{column}_id" for column in (relation.m2m_field_name(), relation.m2m_reverse_field_name())
    )
    if action == "create":
        through.create(**{source: keys[0], target: keys[1]})
    elif action == "bulk_create":
        through.bulk_create(
            [through.model(**{source: keys[0], target: keys[1]})], ignore_conflicts=True
        )
    elif action == "update":
        through.filter(**{source: keys[0]}).update(**{target: keys[1]})
    elif action == "delete":
        through.filter(**{target: keys[1]}).delete()
    else:
        row = through.filter(**{source: keys[0]}).order_by("pk").first()
        if row is not None:
            setattr(row, target, keys[1])
            row.save(using=alias)


def relation_writes(schema: Schema, table: Table) -> Iterator[st.SearchStrategy[Write]]:
    """Yield strategies for writes to the relations of `table`."""
    keys = st.sampled_from(table.keys)
    for name, target in _managers(table, schema):
        others = st.lists(st.sampled_from(target), max_size=2, unique=True)
        action = st.sampled_from(["add", "remove", "set", "clear"])
        yield call(relate, table, name, keys, action, others)
    for name, other in table.many.items():
        pair = st.tuples(keys, st.sampled_from(other.keys))
        action = st.sampled_from(["create", "bulk_create", "update", "delete", "save"])
        yield call(write_through, table, name, action, pair)
        if table.column(name).remote_field.through._meta.auto_created:
            yield _by_hand(schema, table, name)


def _managers(table: Table, schema: Schema) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield the names of managers of related rows, and the keys of these."""
    keys = {each.model: each.keys for each in schema.tables}
    for name, target in table.many.items():
        yield name, target.keys
    for relation in relations_to(table.model):
        if not relation.one_to_one:
            yield str(relation.get_accessor_name()), keys[relation.related_model]
    for field in table.model._meta.private_fields:
        if isinstance(field, GenericRelation):
            yield field.name, keys[field.related_model]


def _by_hand(schema: Schema, table: Table, name: str) -> st.SearchStrategy[Sql]:
    """Return a strategy for statements on the table that Django has made for a relation."""
    relation: Any = table.column(name)
    quote = connections[schema.alias].ops.quote_name
    between = quote(relation.m2m_db_table())
    source, target = quote(relation.m2m_column_name()), quote(relation.m2m_reverse_name())
    pools = [
        st.sampled_from([stored(side, "pk", key, schema.alias) for key in side.keys])
        for side in (table, table.many[name])
    ]
    pair = f"INSERT INTO {between} ({source}, {target}) VALUES ({{}}, {{}})"
    kinds = [
        (pair, pools),
        (f"{pair} ON CONFLICT DO NOTHING", pools),
        (f"DELETE FROM {between} WHERE {source} = {{}} AND {target} = {{}}", pools),
        (f"DELETE FROM {between} WHERE {source} = {{}}", pools[:1]),
        (f"DELETE FROM {between} WHERE {target} IN ({{}})", pools[1:]),
        (f"UPDATE {between} SET {target} = {{}} WHERE {source} = {{}}", pools[::-1]),
        (f"UPDATE {between} SET {source} = {{}} WHERE {target} = {{}}", pools),
        (f"DELETE FROM {between}", []),
    ]
    return st.sampled_from(kinds).flatmap(
        lambda kind: st.builds(Sql, st.just(kind[0]), st.tuples(*kind[1]), st.sampled_from(STYLES))
    )
