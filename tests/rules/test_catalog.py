"""Which tables belong to which models, which of them are watched, and what names a row."""

from datetime import date
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db import connection, models
from django.db.migrations.state import ModelState, ProjectState
from django.test import override_settings

from cache_invalidation import cached, registry
from cache_invalidation.observing.rows_written import analyze, rows_written
from cache_invalidation.rules import catalog
from tests.testapp.made import models_forgotten
from tests.testapp.models import Category, Product, ProductProxy, Restaurant, Voucher
from tests.testapp.unusual import LowerField, Mail, Member

database = pytest.mark.django_db(transaction=True)

KEY = UUID("0f0e0d0c-0b0a-0908-0706-050403020100")


@pytest.fixture
def made_at_run_time():
    """Forget the models that the test makes."""
    with models_forgotten():
        yield


def make_twin(table: str, name: str = "Twin") -> Any:
    """Make another model of the table of categories."""
    meta = type("Meta", (), {"app_label": "testapp", "db_table": table, "managed": False})
    attributes = {"__module__": __name__, "Meta": meta, "name": models.CharField(max_length=100)}
    return type(name, (models.Model,), attributes)


def test_a_table_belongs_to_the_model_and_not_to_its_proxies():
    found = catalog.models_by_table()
    assert found["testapp_product"] == (Product,)
    assert found["testapp_restaurant"] == (Restaurant,)


def test_relations_without_a_model_of_their_own_have_one():
    assert catalog.models_by_table()["testapp_product_tags"] == (Product.tags.through,)
    assert catalog.is_watched(Product.tags.through)


@pytest.mark.usefixtures("made_at_run_time")
@database
def test_a_relation_through_a_model_that_has_no_foreign_keys_breaks_no_write(caplog):
    meta = type("Meta", (), {"app_label": "testapp"})
    made: dict[str, Any] = {"__module__": __name__, "Meta": meta}
    between = type("Unrelated", (models.Model,), dict(made))
    related: Any = models.ManyToManyField(Category, through=between, related_name="+")
    type("Relating", (models.Model,), {**made, "related": related})
    registry.rules_changed()
    Category.objects.create(name="any")
    assert caplog.messages == []


@pytest.mark.usefixtures("made_at_run_time")
def test_a_model_made_at_run_time_is_known_at_once():
    assert "testapp_brand_new" not in catalog.tables()
    made = make_twin("testapp_brand_new")
    assert catalog.models_by_table()["testapp_brand_new"] == (made,)
    assert catalog.is_watched(made)
    (written,) = rows_written(
        analyze(connection, "DELETE FROM testapp_brand_new"), None, False, connection
    )
    assert written.model is made


@database
@pytest.mark.usefixtures("made_at_run_time")
@pytest.mark.parametrize(
    "table", ["testapp_category", '"public"."testapp_category"', 'public"."testapp_category']
)
def test_two_models_of_one_table_are_both_told_of_a_write_to_either(table):
    if connection.vendor == "sqlite" and "public" in table:
        pytest.skip("has no schemas")
    twin = make_twin(table)

    @cached(name=f"one {table}")
    def name(pk):
        return Category.objects.get(pk=pk).name

    @cached(name=f"other {table}")
    def name_in_twin(pk):
        return twin.objects.get(pk=pk).name

    assert registry.plan(Category).own
    assert registry.plan(twin).own
    pk = Category.objects.create(name="a").pk
    other = Category.objects.create(name="z").pk
    assert name(pk) == name_in_twin(pk) == "a"
    for number, write in enumerate(
        (
            lambda name: Category(pk=pk, name=name).save(),
            lambda name: twin(pk=pk, name=name).save(),
            lambda name: Category.objects.filter(pk=pk).update(name=name),
            lambda name: twin.objects.filter(pk=pk).update(name=name),
            lambda name: twin.objects.bulk_update([twin(pk=pk, name=name)], ["name"]),
        )
    ):
        write(str(number))
        assert name(pk) == name_in_twin(pk) == str(number)
    twin.objects.get(pk=pk).delete()
    for read in (name, name_in_twin):
        with pytest.raises((Category.DoesNotExist, twin.DoesNotExist)):
            read(pk)
        assert read(other) == "z"


@pytest.mark.parametrize("label", ["testapp", "testapp.Product", "TestApp.product"])
def test_an_excluded_model_is_not_watched_nor_are_its_proxies(label, settings):
    assert catalog.is_watched(Product)
    assert registry.plan(Product)
    settings.CACHE_INVALIDATION = {"EXCLUDE": [label]}
    assert catalog.is_excluded(Product)
    assert catalog.is_excluded(ProductProxy)
    assert not catalog.is_watched(ProductProxy)
    assert not registry.plan(Product)
    settings.CACHE_INVALIDATION = {}
    assert not catalog.is_excluded(ProductProxy)
    assert registry.plan(Product)


def test_excluding_one_model_leaves_the_others_of_its_app_watched(settings):
    settings.CACHE_INVALIDATION = {"EXCLUDE": ["testapp.Product"]}
    assert catalog.is_watched(Category)
    assert catalog.is_watched(Product.tags.through)


def test_sessions_and_the_log_of_the_admin_are_not_watched_unless_the_project_says_so(settings):
    assert catalog.is_excluded(Session)
    assert catalog.is_excluded(LogEntry)
    assert "django_session" in catalog.tables(), "but who reads it is told"
    settings.CACHE_INVALIDATION = {"EXCLUDE": []}
    assert catalog.is_watched(Session)
    assert catalog.is_watched(LogEntry)


def test_tables_follow_the_installed_apps(settings):
    # One app less, not one more: its admin would stay registered.
    fewer = [app for app in settings.INSTALLED_APPS if app != "example_project.airports"]
    assert "airports_airport" in catalog.tables()
    with override_settings(INSTALLED_APPS=fewer):
        assert "airports_airport" not in catalog.tables()
    assert "airports_airport" in catalog.tables()
    assert catalog.is_watched(apps.get_model("airports.Airport"))


@database
def test_a_model_of_the_past_has_no_rules_and_its_writes_are_seen_as_those_of_the_table():
    state = ProjectState()
    state.add_model(ModelState.from_model(Category))
    past: Any = state.apps.get_model("testapp", "Category")
    assert not catalog.is_watched(past)
    assert not registry.plan(past)

    @cached()
    def names():
        return list(Category.objects.order_by("pk").values_list("name", flat=True))

    assert names() == []
    row = past.objects.create(name="a")
    assert names() == ["a"]
    row.name = "b"
    row.save()
    assert names() == ["b"]
    past.objects.bulk_create([past(name="c")])
    assert names() == ["b", "c"]
    row.delete()
    assert names() == ["c"]


class Number(Enum):
    ONE = 1


PK = Product._meta.pk
UUID_PK = Voucher._meta.pk


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        (PK, 3, 3),
        (PK, "3", 3),
        (PK, True, 1),
        (PK, 3.0, None),
        (PK, "3.0", None),
        (PK, "x", None),
        (PK, None, None),
        (PK, b"3", None),
        (PK, Number.ONE, None),
        (PK, [3], None),
        (models.AutoField(), 3, 3),
        (models.PositiveSmallIntegerField(), "3", 3),
        (UUID_PK, KEY, KEY),
        (UUID_PK, str(KEY), KEY),
        (UUID_PK, KEY.hex, KEY),
        (UUID_PK, "x", None),
        (UUID_PK, None, None),
        (Product._meta.get_field("category"), "3", 3),
        (Member._meta.get_field("person"), "Ann", "Ann"),
        (Restaurant._meta.pk, 3, 3),
        (models.SlugField(), "a", "a"),
        (models.TextField(), "a", "a"),
        (models.CharField(), 3, None),
        (models.CharField(), None, None),
        (models.CharField(db_collation="nocase"), "a", None),
        (models.BooleanField(), True, None),
        (models.FloatField(), 1.0, None),
        (models.DecimalField(), 1, None),
        (models.DateField(), date(2026, 1, 1), None),
        (models.GenericIPAddressField(), "::1", None),
        (models.BinaryField(), b"a", None),
        (LowerField(), "a", None),
        (Mail._meta.get_field("address"), "a", None),
    ],
    ids=repr,
)
def test_a_parameter_names_a_row_only_if_the_column_holds_it_as_it_is(field, value, expected):
    found = catalog.as_in_tags(field, value, "postgresql")
    assert found == expected
    assert type(found) is type(expected)


class Folding(models.IntegerField):  # type: ignore[type-arg]
    """Stores something else than it is asked for."""

    def get_db_prep_value(self, value, connection, prepared=False):
        return value % 10


class Prefixed(models.UUIDField):  # type: ignore[type-arg]
    def to_python(self, value):
        return super().to_python(value.removeprefix("u-"))


class Renamed(models.IntegerField):  # type: ignore[type-arg]
    """Changes nothing of what is stored."""

    description = "a number"


def test_fields_that_convert_values_name_no_row():
    assert catalog.as_in_tags(Folding(), 13, "postgresql") is None
    assert catalog.as_in_tags(Prefixed(), f"u-{KEY}", "postgresql") is None
    assert catalog.as_in_tags(Renamed(), 13, "postgresql") == 13


@pytest.mark.parametrize(
    ("vendor", "expected"),
    [("postgresql", "a"), ("sqlite", "a"), ("mysql", None), ("oracle", None)],
)
def test_a_text_names_a_row_only_where_a_byte_makes_a_difference(vendor, expected):
    assert catalog.as_in_tags(models.CharField(), "a", vendor) == expected
    assert catalog.as_in_tags(PK, 3, vendor) == 3
