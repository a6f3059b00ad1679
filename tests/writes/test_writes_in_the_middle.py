"""Code of the project that writes while Django prepares a write: it is no part of that write."""

import copy
import pickle
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from django.core.files.base import ContentFile
from django.db import connections

from cache_invalidation import ModelInvalidation, cached, registry
from cache_invalidation.writes.accounted import Account, Accounted
from tests.cursors import execute
from tests.delivered import update_behind_the_back
from tests.testapp.halfway import Crate, Pallet, Parcel
from tests.writes.middles import between_the_tables

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

Act = Callable[[Any, str], object]


@cached(name="values of parcels")
def value(model: Any, pk: Any, using: str) -> list[int]:
    return list(model.objects.using(using).filter(pk=pk).values_list("value", flat=True))


@cached(name="parcels by value")
def how_many(number: int, using: str) -> int:
    return Parcel.objects.using(using).filter(value=number).count()


class Tracked(ModelInvalidation):
    track = ["value"]


@pytest.fixture(params=[ModelInvalidation, Tracked], ids=["by key", "by value"])
def rule(request: pytest.FixtureRequest) -> Any:
    return request.param


def _in_upload_to(first: Any, using: str, act: Callable[[], object]) -> None:
    def upload_to(instance: Any, filename: str) -> str:
        act()
        return filename

    with mock.patch.object(Parcel._meta.get_field("label"), "upload_to", upload_to):
        Parcel(label=ContentFile(b"x", name="a.txt")).save(using=using)


def _in_pre_save(write: Act) -> Callable[[Any, str, Callable[[], object]], None]:
    def act_and_write(first: Any, using: str, act: Callable[[], object]) -> None:
        acts = [act]
        with between_the_tables(lambda row: acts and acts.pop()()):
            write(type(first), using)

    return act_and_write


def _upsert(model: Any, using: str) -> None:
    model.objects.using(using).bulk_create(
        [model(pk=5500)], update_conflicts=True, unique_fields=["id"], update_fields=["value"]
    )


# `act` happens in the middle of each.
WRITES = {
    "insert": _in_pre_save(lambda model, using: model(name="second").save(using=using)),
    "insert with a key": _in_pre_save(lambda model, using: model(pk=5500).save(using=using)),
    "update": _in_pre_save(
        lambda model, using: model.objects.using(using).get(name="other").save()
    ),
    "bulk_create": _in_pre_save(
        lambda model, using: model.objects.using(using).bulk_create(iter([model(), model()]))
    ),
    "upsert": _in_pre_save(_upsert),
    "child": _in_pre_save(lambda model, using: Crate(name="second").save(using=using)),
    "upload": _in_upload_to,
}

ACTS: dict[str, Act] = {
    "update by key": lambda first, using: rows(first, using).filter(pk=first.pk).update(value=2),
    "update": lambda first, using: rows(first, using).filter(name="first").update(value=2),
    "SQL by key": lambda first, using: execute(
        using, "UPDATE testapp_parcel SET value = 2 WHERE id = %s", [str(first.pk)]
    ),
    "SQL": lambda first, using: execute(
        using,
        "INSERT INTO testapp_parcel (id, name, weight, value, label) VALUES (7700, '', 0, 2, '')",
    ),
    "save": lambda first, using: Parcel(pk=7700, value=2).save(using=using),
}


def rows(row: Any, using: str) -> Any:
    return type(row).objects.using(using)


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_row_that_is_written_while_another_one_is(
    using: str, rule: Any, write: Any, act: Act
) -> None:
    first = Parcel.objects.using(using).create(name="first", value=1)
    Parcel.objects.using(using).create(name="other")

    def seen(values: Any, numbers: Any) -> list[Any]:
        return [numbers(2, using), *(values(Parcel, pk, using) for pk in (first.pk, 7700))]

    with registry.override(Parcel, rule):
        before = seen(value, how_many)
        write(first, using, lambda: act(first, using))
        right = seen(value.uncached, how_many.uncached)
        assert right[0] == 1
        assert seen(value, how_many) == right != before


def test_a_row_whose_key_is_no_text_and_is_sent_as_such(using: str) -> None:
    first, second = (Pallet.objects.using(using).create(value=1) for _ in range(2))
    assert value(Pallet, first.pk, using) == [1]
    with between_the_tables(lambda row: rows(first, using).filter(pk=first.pk).update(value=2)):
        second.save()
    assert value(Pallet, first.pk, using) == [2]


def test_another_field_of_the_row_that_is_being_saved(using: str) -> None:
    row = Parcel.objects.using(using).create(value=1)
    with registry.override(Parcel, Tracked):
        assert (how_many(1, using), how_many(2, using)) == (1, 0)
        with between_the_tables(lambda row: rows(row, using).filter(pk=row.pk).update(value=2)):
            row.save(update_fields=["weight"])
        assert (how_many(1, using), how_many(2, using)) == (0, 1)


def test_a_row_that_is_written_while_a_value_of_an_update_is_prepared(using: str) -> None:
    first, second = (Parcel.objects.using(using).create(value=1) for _ in range(2))

    class Lazily:
        def __int__(self) -> int:
            execute(using, "UPDATE testapp_parcel SET value = 7 WHERE id = %s", [second.pk])
            return 5

    with registry.override(Parcel, Tracked):
        assert how_many(7, using) == 0
        Parcel.objects.using(using).filter(pk=first.pk).update(value=Lazily())
        assert how_many(7, using) == 1


def test_a_queryset_that_was_evaluated_is_so_no_more_once_it_has_updated_its_rows(
    using: str,
) -> None:
    Parcel.objects.using(using).create(value=1)
    found = Parcel.objects.using(using).all()
    with registry.override(Parcel, Tracked):
        assert [row.value for row in found] == [1]
        found.update(value=2)
        assert [row.value for row in found] == [2]


@pytest.mark.parametrize("how", ["save", "insert", "update", "update of a child", "bulk_create"])
def test_a_write_with_nothing_in_the_middle_leaves_other_rows_alone(
    using: str, rule: Any, how: str
) -> None:
    row, other = (Crate.objects.using(using).create(name="a") for _ in range(2))
    writes: dict[str, Callable[[], object]] = {
        "save": Parcel.objects.using(using).get(pk=row.pk).save,
        "insert": lambda: Parcel(name="b").save(using=using),
        "update": lambda: Parcel.objects.using(using).filter(pk=row.pk).update(value=2),
        "update of a child": lambda: rows(row, using).filter(pk=row.pk).update(value=2, width=2),
        "bulk_create": lambda: Parcel.objects.using(using).bulk_create([Parcel(), Parcel()]),
    }
    with registry.override(Parcel, rule), registry.override(Crate, rule):
        assert value(Parcel, other.pk, using) == [0]
        writes[how]()
        update_behind_the_back(Parcel.objects.using(using).filter(pk=other.pk), value=9)
        assert value(Parcel, other.pk, using) == [0]


def test_a_statement_that_is_sent_once_more_by_who_has_seen_it(using: str) -> None:
    seen: list[Any] = []

    def keep(execute: Any, sql: str, params: Any, *args: Any) -> Any:
        if sql.startswith("UPDATE"):
            seen.append((sql, params))
        return execute(sql, params, *args)

    row = Parcel.objects.using(using).create(value=1)
    with connections[using].execute_wrapper(keep):
        row.save()
    rows(row, using).filter(pk=row.pk).update(value=2)
    assert value(Parcel, row.pk, using) == [2]
    execute(using, *seen.pop())
    assert value(Parcel, row.pk, using) == [1]


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.loads])
def test_a_copy_of_parameters_accounts_for_nothing(duplicate: Any) -> None:
    params = Accounted.by(Account("default", frozenset(), None), [1, "a"])
    given = pickle.dumps(params) if duplicate is pickle.loads else params
    assert type(duplicate(given)) is tuple
    assert duplicate(given) == (1, "a")
