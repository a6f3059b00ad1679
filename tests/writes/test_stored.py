"""What is stored is not always what the attribute says; the tags are those of what is stored."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.core import serializers
from django.db import connection, models, transaction
from django.db.models import Model
from django.utils import timezone

from cache_invalidation import ModelInvalidation, cached, registry
from tests.delivered import Delivered
from tests.elsewhere import elsewhere
from tests.testapp.made import models_forgotten
from tests.testapp.stored import (
    Computed,
    KeyedByCode,
    Loaded,
    LowerField,
    LowerMail,
    Measured,
    Placed,
    PreSaved,
    Referring,
    Rewritten,
)

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


class Coded(ModelInvalidation):
    tags = ["code:{code}"]


def _create(rows: Any) -> None:
    rows.create(code="Anna")


def _save(rows: Any) -> None:
    row = rows.create(code="bert")
    row.code = "Anna"
    row.save()


def _update_fields(rows: Any) -> None:
    row = rows.create(code="bert")
    row.code = "Anna"
    row.save(update_fields=["code"])


def _bulk_create(rows: Any) -> None:
    rows.bulk_create([rows.model(code="Anna"), rows.model(code="carl")])


def _get_or_create(rows: Any) -> None:
    rows.get_or_create(name="x", defaults={"code": "Anna"})


def _update_or_create(rows: Any) -> None:
    rows.create(name="x", code="bert")
    rows.update_or_create(name="x", defaults={"code": "Anna"})


def _update(rows: Any) -> None:
    rows.create(code="bert")
    rows.update(code="Anna")


def _bulk_update(rows: Any) -> None:
    row = rows.create(code="bert")
    row.code = "Anna"
    rows.bulk_update([row], ["code"])


def _fixture(rows: Any) -> None:
    fixture = [{"model": rows.model._meta.label_lower, "pk": 7, "fields": {"code": "Anna"}}]
    for item in serializers.deserialize("json", json.dumps(fixture)):
        item.save(using=rows.db)


WRITES = [
    _create,
    _save,
    _update_fields,
    _bulk_create,
    _get_or_create,
    _update_or_create,
    _update,
    _bulk_update,
    _fixture,
]


@pytest.mark.parametrize("model", [PreSaved, Computed, Placed, Loaded, Rewritten])
@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__.strip("_"))
@pytest.mark.parametrize("block", [False, True], ids=["autocommit", "atomic"])
def test_the_tags_are_those_of_what_is_stored(
    using: str,
    deliveries: Delivered,
    model: type[Model],
    write: Callable[[Any], None],
    block: bool,
) -> None:
    rows = model._base_manager.using(using)
    with registry.override(model, Coded):
        if block:
            with transaction.atomic(using=using):
                write(rows)
        else:
            write(rows)
    stored = {f"code:{code}" for code in rows.values_list("code", flat=True)}
    assert stored & {"code:anna", "code:Anna"}
    assert deliveries.family("code") >= stored


@cached(name="rows by what is stored")
def how_many(code: str, using: str) -> int:
    return PreSaved.objects.using(using).filter(code=code).count()


class Tracked(ModelInvalidation):
    track = ["code"]


def test_a_function_that_looks_up_what_is_stored_is_fresh(using: str) -> None:
    with registry.override(PreSaved, Tracked):
        assert how_many("anna", using) == 0
        row = PreSaved.objects.using(using).create(code="Anna")
        assert how_many("anna", using) == 1
        row.code = "BERT"
        row.save()
        assert (how_many("anna", using), how_many("bert", using)) == (0, 1)
        PreSaved.objects.using(using).bulk_create([PreSaved(code="Anna")])
        assert how_many("anna", using) == 1


@cached(name="rank by a key that is stored in another way")
def rank_of(code: str, using: str) -> int | None:
    found = KeyedByCode.objects.using(using).filter(code=code)
    return found.values_list("rank", flat=True).first()


class Ranked(ModelInvalidation):
    tags = ["rank:{rank}", "code:{code}"]


@pytest.mark.parametrize("rule", [ModelInvalidation, Ranked], ids=["by key", "by value"])
@pytest.mark.parametrize("bulk", [False, True], ids=["save", "bulk_create"])
def test_a_key_that_is_stored_in_another_way_is_told(
    using: str, deliveries: Delivered, rule: type[ModelInvalidation], bulk: bool
) -> None:
    with registry.override(KeyedByCode, rule):
        assert rank_of("anna", using) is None
        row = KeyedByCode(code="Anna", rank=1)
        if bulk:
            KeyedByCode.objects.using(using).bulk_create([row])
        else:
            row.save(using=using)
        assert rank_of("anna", using) == elsewhere(lambda: rank_of("anna", using)) == 1
        assert not deliveries.family("code") - {"code:anna", "code:*"}


def test_a_foreign_key_is_stored_as_the_field_that_it_refers_to_prepares_it(
    using: str, deliveries: Delivered
) -> None:
    rule = type("Rule", (ModelInvalidation,), {"tags": ["mail:{mail_id}"]})
    LowerMail.objects.using(using).create(address="anna")
    with registry.override(Referring, rule):
        row = Referring.objects.using(using).create(mail_id="ANNA")
        assert deliveries.family("mail") == {"mail:anna"}
        Referring.objects.using(using).update(mail_id="BERT")
        assert deliveries.family("mail") == {"mail:anna", "mail:bert"}
        row.mail_id = "CARL"
        row.save(update_fields=["mail"])
        assert "mail:carl" in deliveries.tags


NAIVE = datetime(2026, 1, 2, 3, 4, 5, 678901)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("amount", Decimal("0.125")),
        ("amount", Decimal("0.135")),
        ("amount", "2.675"),
        ("amount", 2.675),
        ("amount", 7),
        ("amount", Decimal("1E+2")),
        ("amount", Decimal("1234567890123456789.12")),
        ("ratio", "1.50"),
        ("ratio", 0.1),
        ("ratio", float("nan")),
        ("short", "ab   "),
        ("short", "ab      "),
        ("moment", datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)),
        ("moment", "2026-01-02T03:04:05+05:30"),
        ("facts", {1: "one"}),
        ("facts", ("a", "b")),
        ("facts", {"b": 1, "longer": ["a", None, True, 1.5]}),
        ("facts", [1e16, 0.0]),
        ("facts", {"at": datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)}),
        ("facts", -0.0),
        ("facts", "text"),
        ("address", "::1.2.3.4"),
        ("address", "::FFFF:0A00:1"),
        ("address", "2001:DB8:0:0:1:0:0:1"),
        ("address", "10.0.0.1"),
    ],
)
@pytest.mark.parametrize("write", ["create", "save", "bulk_create", "update"])
def test_a_value_that_the_column_does_not_take_as_it_is_has_the_tag_of_what_is_stored(
    using: str, deliveries: Delivered, name: str, value: Any, write: str
) -> None:
    rule = type("Rule", (ModelInvalidation,), {"tags": [f"value:{{{name}}}"]})
    rows = Measured.objects.using(using)
    if using == "sqlite" and name == "short" and len(value) > 5:
        pytest.skip("SQLite stores what it is given, of any length")
    with registry.override(Measured, rule):
        if write == "create":
            row = rows.create(**{name: value})
        elif write == "bulk_create":
            rows.bulk_create([Measured(**{name: value})])
        else:
            row = rows.create()
            deliveries.clear()
            if write == "save":
                setattr(row, name, value)
                row.save()
            else:
                rows.update(**{name: value})
        written = deliveries.family("value")
        deliveries.clear()
        # What is deleted is read before, so these are the tags of what is stored.
        rows.all().delete()
    assert written >= deliveries.family("value")


@pytest.mark.filterwarnings("ignore:DateTimeField .* received a naive datetime:RuntimeWarning")
@pytest.mark.parametrize("value", [NAIVE, "2026-01-02 03:04:05", NAIVE.date()])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_a_moment_without_a_zone_has_the_tag_of_the_moment_that_is_stored(
    using: str, deliveries: Delivered, value: Any, zone: str, settings: Any
) -> None:
    settings.TIME_ZONE = zone
    rule = type("Rule", (ModelInvalidation,), {"tags": ["at:{moment}"]})
    rows = Measured.objects.using(using)
    with registry.override(Measured, rule), timezone.override("America/New_York"):
        rows.create(moment=value)
        written = deliveries.family("at")
        deliveries.clear()
        rows.all().delete()
    assert written == deliveries.family("at")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("range", None),
        ("array", ("1.005", 2)),
        ("array", None),
        ("texts", ["a"]),
        ("texts", [1]),
        ("texts", ["ab     "]),
        ("prepared", ["A"]),
    ],
)
def test_types_of_postgresql_store_something_else(
    deliveries: Delivered, kind: str, value: Any
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("The fields are of PostgreSQL")
    from django.contrib.postgres.fields import ArrayField, IntegerRangeField
    from django.db.backends.postgresql.psycopg_any import NumericRange

    column: Any = ArrayField(models.DecimalField(max_digits=8, decimal_places=2), null=True)
    if kind == "texts":
        column = ArrayField(models.CharField(max_length=5))
    if kind == "prepared":
        column = ArrayField(LowerField(max_length=5))
    if kind == "range":
        column, value = IntegerRangeField(), NumericRange(1, 5, "[]")
    with models_forgotten():
        meta = type("Meta", (), {"app_label": "testapp"})
        body = {"__module__": "tests.testapp.models", "Meta": meta, "value": column}
        made: Any = type("OfPostgresql", (Model,), body)
        with connection.schema_editor() as editor:
            editor.create_model(made)
        try:
            rule = type("Rule", (ModelInvalidation,), {"tags": ["value:{value}"]})
            with registry.override(made, rule):
                made.objects.create(value=value)
                written = deliveries.family("value")
                deliveries.clear()
                made.objects.all().delete()
        finally:
            with connection.schema_editor() as editor:
                editor.delete_model(made)
    assert written == deliveries.family("value")
