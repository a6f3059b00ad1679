"""Writes through the ORM: all ways that Django has, on models that are made up."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import F, Model
from hypothesis import strategies as st

from tests.fuzz.calls import Call, Write, call, rows_in
from tests.fuzz.conditions import Rows, is_steady, kinds_of_rows, rows_of, values_of
from tests.fuzz.relation_writes import relation_writes
from tests.fuzz.schemas import Schema, Table


def _new(table: Table, key: Any, values: dict[str, Any]) -> Model:
    """Return an instance; without a key, the database makes one, or it is the first of all."""
    if key is None and table.model._meta.pk.name != "id":  # a child
        key = table.keys[0]
    made: Any = table.model(**values)
    if key is not None:
        _name(made, table, key)
    return made  # type: ignore[no-any-return]


def _name(row: Any, table: Table, key: Any) -> None:
    """Give `row` that key, in its own table and in those above."""
    row.pk = key
    for name, value in table.keys_above(key).items():
        setattr(row, name, value)


def create(alias: str, table: Table, key: Any, values: dict[str, Any]) -> None:
    _new(table, key, values).save(using=alias, force_insert=True)


def save_as(alias: str, table: Table, key: Any, values: dict[str, Any]) -> None:
    """Save a row that may be there, without having looked."""
    _new(table, key, values).save(using=alias)


def load_and_save(
    alias: str, table: Table, key: Any, values: dict[str, Any], only: bool, update_fields: bool
) -> None:
    found = rows_in(table, alias).filter(pk=key)
    row = (found.only("pk", *values) if only else found).first()
    if row is None:
        return
    for name, value in values.items():
        setattr(row, name, value)
    row.save(using=alias, **({"update_fields": list(values)} if update_fields else {}))


def copy_row(alias: str, table: Table, key: Any, other: Any) -> None:
    row = rows_in(table, alias).filter(pk=key).first()
    if row is not None:
        _name(row, table, other)
        row._state.adding = True
        row.save(using=alias)


def increment(alias: str, table: Table, key: Any) -> None:
    row = rows_in(table, alias).select_for_update().filter(pk=key).first()
    if row is not None:
        name = "n" if "n" in table.pools else table.number
        setattr(row, name, F(name) + 1)
        row.save(using=alias)


def delete_row(alias: str, table: Table, key: Any) -> None:
    row = rows_in(table, alias).filter(pk=key).first()
    if row is not None:
        row.delete(using=alias)


def delete_child_only(alias: str, table: Table, key: Any) -> None:
    row = rows_in(table, alias).filter(pk=key).first()
    if row is not None:
        row.delete(using=alias, keep_parents=True)


def make_child_of(alias: str, table: Table, key: Any) -> None:
    """Make a row of a child for the parent's row that is there, as `loaddata` does."""
    made: Any = table.model(**{table.number: 1})
    _name(made, table, key)
    made.save_base(using=alias, raw=True)


def update(alias: str, rows: Rows, values: dict[str, Any]) -> None:
    rows.on(alias).update(**values)


def delete(alias: str, rows: Rows) -> None:
    rows.on(alias).delete()


def raw_delete(alias: str, rows: Rows) -> None:
    found: Any = rows.on(alias)
    found._raw_delete(alias)


def bulk_create(
    alias: str, table: Table, rows: Sequence[tuple[Any, dict[str, Any]]], conflicts: str
) -> None:
    options: dict[str, Any] = {"batch_size": 2 if len(rows) > 2 else None}
    if conflicts == "ignore":
        options["ignore_conflicts"] = True
    elif conflicts != "none":
        options["update_conflicts"] = True
        options["update_fields"] = ["n", "s"] if "n" in table.pools else [table.number]
        options["unique_fields"] = [conflicts]
    rows_in(table, alias).bulk_create([_new(table, key, values) for key, values in rows], **options)


def bulk_update(
    alias: str, table: Table, keys: Sequence[Any], values: Sequence[Any], name: str
) -> None:
    rows = [row for key in keys for row in rows_in(table, alias).filter(pk=key)]
    for row, value in zip(rows, values, strict=False):
        setattr(row, name, value)
    rows_in(table, alias).bulk_update(rows, [name.removesuffix("_id")], batch_size=2)


def get_or_create(alias: str, table: Table, key: Any, values: dict[str, Any]) -> None:
    name = str(table.model._meta.pk.attname)  # By ``pk`` Django names the rows of all parents.
    rows_in(table, alias).get_or_create(**{name: key}, defaults=_for_new(table, key, values))


def update_or_create(alias: str, table: Table, key: Any, values: dict[str, Any]) -> None:
    defaults, create = _no_key(values), _for_new(table, key, values)
    name = str(table.model._meta.pk.attname)
    rows_in(table, alias).update_or_create(**{name: key}, defaults=defaults, create_defaults=create)


def _no_key(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != "pk"}


def _for_new(table: Table, key: Any, values: dict[str, Any]) -> dict[str, Any]:
    above = table.keys_above(key)
    return {**_no_key(values), **({} if set(above) <= {"id"} else above)}


def orm_writes(schema: Schema, table: Table) -> st.SearchStrategy[Write]:
    """Return a strategy for writes to `table`."""
    one, many = (st.one_of(list(kind)) for kind in (_of_one_row(table), _of_many_rows(table)))
    related = list(relation_writes(schema, table))
    several = [one, many, many, st.one_of(related) if related else one]
    return st.integers(0, len(several) - 1).flatmap(several.__getitem__)


def _values(table: Table) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for the values of a new row: what has to be given, and some of the rest."""
    required = {name for name in table.pools if _is_required(table, name)}
    pools = {name: st.sampled_from(pool) for name, pool in table.pools.items()}
    return st.fixed_dictionaries(
        {name: pool for name, pool in pools.items() if name in required},
        optional={name: pool for name, pool in pools.items() if name not in required},
    )


def _new_keys(table: Table) -> st.SearchStrategy[Any]:
    return st.sampled_from((None, *table.keys) if _is_automatic(table) else table.keys)


def _of_one_row(table: Table) -> Iterator[st.SearchStrategy[Call]]:
    keys, maybe, values = st.sampled_from(table.keys), _new_keys(table), _values(table)
    some = st.sampled_from([{n: v} for n, pool in table.pools.items() for v in pool])
    yield call(create, table, maybe, values)
    yield call(save_as, table, maybe, values)
    yield call(load_and_save, table, keys, some, st.booleans(), st.booleans())
    yield call(load_and_save, table, keys, some, False, False)
    yield call(copy_row, table, keys, keys)
    yield call(increment, table, keys)
    yield call(delete_row, table, keys)
    yield call(get_or_create, table, keys, values)
    yield call(update_or_create, table, keys, values)
    if table.parent is not None:
        yield call(delete_child_only, table, keys)
        yield call(make_child_of, table, keys)


def _of_many_rows(table: Table) -> Iterator[st.SearchStrategy[Call]]:
    keys, maybe, values = st.sampled_from(table.keys), _new_keys(table), _values(table)
    kinds = [st.sampled_from(kind) for kind in kinds_of_rows(table)]
    rows = st.integers(0, len(kinds) - 1).flatmap(kinds.__getitem__)
    for _ in range(4):
        yield call(update, rows, st.sampled_from(values_of(table)))
    # Whoever looks at such rows beforehand must not take them for those that are updated.
    unsteady = st.sampled_from([each for each in rows_of(table) if not is_steady(each)])
    for _ in range(2):
        yield call(update, unsteady, st.sampled_from(values_of(table)))
    yield call(delete, rows)
    if table.parent is None:
        yield call(raw_delete, rows)
        several = st.lists(st.tuples(maybe, values), min_size=1, max_size=3)
        key_name = str(table.model._meta.pk.name)
        how = ["none", "ignore", key_name, *(["u"] if "u" in table.pools else [])]
        yield call(bulk_create, table, several, st.sampled_from(how))
    number = "n" if "n" in table.pools else table.number
    for name in (number, *(name for name in table.pools if name.startswith("f"))):
        new = st.lists(st.sampled_from(table.pools[name]), min_size=3, max_size=3)
        yield call(bulk_update, table, st.lists(keys, max_size=3, unique=True), new, name)


def _is_automatic(table: Table) -> bool:
    return 101 in table.keys


def _is_required(table: Table, name: str) -> bool:
    column = table.column(name)
    return bool(column.is_relation and not column.null)
