"""Instances that have something else than their row, since code of the project loads them."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.db.models import Model

from cache_invalidation import ModelInvalidation, cached, registry
from tests.cursors import execute
from tests.delivered import Delivered
from tests.testapp.loading import LOWER, Filed, LowerByInit, LowerWhenRead, OfLower

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

lower = pytest.mark.parametrize("model", LOWER, ids=lambda model: model.__name__)


def _rule(**attributes: Any) -> type[ModelInvalidation]:
    return type("Rule", (ModelInvalidation,), attributes)


def _insert(rows: Any, name: str = "ANNA") -> None:
    table = rows.model._meta.db_table
    execute(rows.db, f"INSERT INTO {table} (name, rank) VALUES (%s, 1)", [name])


def _counting(rows: Any) -> Callable[[str], int]:
    @cached(name="by name")
    def found(name: str) -> int:
        return int(rows.filter(name=name).count())

    return found


def _delete_all(rows: Any) -> None:
    rows.all().delete()


def _delete(rows: Any) -> None:
    rows.get().delete()


def _delete_by_sql(rows: Any) -> None:
    table, pk = rows.model._meta.db_table, rows.values_list("pk", flat=True).get()
    execute(rows.db, f"DELETE FROM {table} WHERE id = %s", [pk])


def _save(rows: Any) -> None:
    row = rows.get()
    row.name = "bert"
    row.save()


def _save_field(rows: Any) -> None:
    row = rows.get()
    row.name = "bert"
    row.save(update_fields=["name"])


def _update(rows: Any) -> None:
    rows.update(name="bert")


def _bulk_update(rows: Any) -> None:
    row = rows.get()
    row.name = "bert"
    rows.bulk_update([row], ["name"])


AWAY = [_delete_all, _delete, _delete_by_sql, _save, _save_field, _update, _bulk_update]


@lower
@pytest.mark.parametrize("write", AWAY, ids=lambda write: write.__name__.strip("_"))
def test_a_lookup_by_what_was_in_the_row_is_fresh(
    using: str, model: type[Model], write: Callable[[Any], None]
) -> None:
    rows = model._base_manager.using(using)
    _insert(rows)
    found = _counting(rows)
    with registry.override(model, _rule(track=["name"])):
        assert found("ANNA") == 1
        write(rows)
        assert found("ANNA") == 0


@lower
def test_a_lookup_by_what_an_update_has_stored_is_fresh(using: str, model: type[Model]) -> None:
    rows = model._base_manager.using(using)
    _insert(rows, "anna")
    found = _counting(rows)
    with registry.override(model, _rule(track=["name"])):
        assert found("ANNA") == 0
        rows.update(name="ANNA")
        assert found("ANNA") == 1


@lower
def test_a_rule_for_a_field_fires_when_what_is_stored_changes(
    using: str, model: type[Model], deliveries: Delivered
) -> None:
    rows = model._base_manager.using(using)
    _insert(rows, "ANNA")
    with registry.override(model, _rule(fields=["name"], tags=["people"])):
        deliveries.clear()
        rows.update(rank=2)
        assert "people" not in deliveries.tags
        rows.update(name="anna")
        assert "people" in deliveries.tags


@lower
def test_other_fields_are_told_as_they_are(
    using: str, model: type[Model], deliveries: Delivered
) -> None:
    rows = model._base_manager.using(using)
    with registry.override(model, _rule(tags=["rank:{rank}"])):
        row: Any = rows.create(name="anna", rank=3)
        row.rank = 4
        row.save()
        rows.update(rank=5)
        row.delete()
    assert deliveries.family("rank") == {"rank:3", "rank:4", "rank:5"}


def test_a_related_row_is_told_as_it_is_stored(using: str, deliveries: Delivered) -> None:
    owners = LowerByInit.objects.using(using)
    _insert(owners)
    with registry.override(OfLower, _rule(tags=["name:{owner__name}"])):
        OfLower.objects.using(using).create(owner=owners.get())
    assert deliveries.family("name") == {"name:ANNA"}


def test_the_row_is_told_although_an_attribute_was_set_while_its_file_was_stored(
    using: str,
) -> None:
    rows = Filed.objects.using(using)
    found = _counting(rows)
    with registry.override(Filed, _rule(track=["name"])):
        assert found("old") == found("new") == 0
        row = Filed(name="old", file=ContentFile(b"x", name="a.txt"))
        row.save(using=using)
        stored = rows.values_list("name", flat=True).get()  # It depends on the version of Django.
        assert found(stored) == 1
        row.name, row.file = "older", ContentFile(b"x", name="b.txt")
        row.save()
        assert rows.filter(name=stored).count() == found(stored)
        assert rows.filter(name="older").count() == found("older")


def test_what_a_descriptor_shows_is_told_as_well(using: str, deliveries: Delivered) -> None:
    rows = LowerWhenRead.objects.using(using)
    _insert(rows)
    with registry.override(LowerWhenRead, _rule(tags=["name:{name}"])):
        rows.all().delete()
    assert deliveries.family("name") == {"name:ANNA", "name:anna"}
