"""Models that few projects have are saved, deleted and related like any other."""

import json

import pytest
from django.core import serializers
from django.db import transaction
from django.db.models import F

from tests.delivered import Delivered
from tests.ruled import Override, override
from tests.testapp.models import Place, Product, Restaurant
from tests.testapp.unusual import (
    Club,
    Composite,
    Generated,
    GeneratedFirst,
    Mail,
    Ordered,
    Person,
    Shop,
    Vec,
)

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

__all__ = ["override"]


@pytest.fixture
def generated(using: str, deliveries: Delivered) -> Generated:
    pk = Generated.objects.using(using).create(number=1).pk
    deliveries.clear()
    return Generated.objects.using(using).get(pk=pk)


def test_an_order_with_parameters_keeps_no_row_from_being_saved(
    override: Override, using: str, deliveries: Delivered
) -> None:
    override(Ordered, tags=["rank:{rank}"])
    row = Ordered.objects.using(using).create(name="x", rank=1)
    deliveries.clear()
    row.rank = 2
    row.save()
    assert deliveries.family("rank") == {"rank:1", "rank:2"}


def test_an_expression_that_is_only_a_column_is_read_back(
    override: Override, using: str, deliveries: Delivered
) -> None:
    override(Product, tags=["stock:{stock}"])
    product = Product.objects.using(using).create(name="P", stock=-77)
    deliveries.clear()
    product.stock = F("id")
    product.save()
    assert deliveries.family("stock") == {"stock:-77", f"stock:{product.pk}"}


@pytest.mark.parametrize("update_fields", [None, ["number"]])
def test_a_tag_of_a_generated_column_has_its_new_value(
    override: Override,
    generated: Generated,
    deliveries: Delivered,
    update_fields: list[str] | None,
) -> None:
    override(Generated, tags=["double:{double}"])
    generated.number = 5
    generated.save(update_fields=update_fields)
    assert deliveries.family("double") == {"double:2", "double:10"}


def test_a_rule_for_a_generated_column_fires_when_it_changes(
    override: Override, generated: Generated, deliveries: Delivered
) -> None:
    override(Generated, tags=["home"], fields=["double"])
    generated.save()
    assert "home" not in deliveries.tags
    generated.number = 5
    generated.save()
    assert "home" in deliveries.tags


def test_a_generated_column_may_come_first(
    override: Override, using: str, deliveries: Delivered
) -> None:
    override(GeneratedFirst, tags=["number:{number}"])
    with transaction.atomic(using=using):
        row = GeneratedFirst.objects.using(using).create(code="x", number=1)
        row.number = 2
        row.save()
    assert deliveries.family("number") == {"number:1", "number:2"}


def test_a_child_with_a_key_of_its_own_names_the_row_of_its_parent(
    override: Override, using: str, deliveries: Delivered
) -> None:
    override(Place)
    shop = Shop.objects.using(using).create(code="abc", name="old")
    deliveries.clear()
    shop.name = "new"
    shop.save()
    assert f"testapp.place:{shop.place_link_id}" in deliveries.tags


@pytest.mark.parametrize("tags", [["shop-page:{code}"], ["shop:{name}"]])
def test_a_parent_names_the_row_of_a_child_with_a_key_of_its_own(
    override: Override, using: str, deliveries: Delivered, tags: list[str]
) -> None:
    override(Shop, tags=tags)
    looks_at_values = "name" in tags[0]
    shop = Shop.objects.using(using).create(code="abc", name="old")
    place = Place.objects.using(using).get(pk=shop.place_link_id)
    deliveries.clear()
    place.name = "new"
    place.save()
    # To know which row it is takes a query, and not every rule is worth one.
    expected = {"testapp.shop:abc"} if looks_at_values else {"testapp.shop:*"}
    assert deliveries.family("testapp.shop") == expected
    assert not deliveries.tags.isdisjoint({"shop-page:*", "shop:old"})


def test_a_child_in_a_fixture_has_the_values_of_its_parent(
    override: Override, using: str, deliveries: Delivered
) -> None:
    override(Restaurant, tags=["in:{city}"])
    place = Place.objects.using(using).create(name="P", city="Rome")
    fixture = [{"model": "testapp.restaurant", "pk": place.pk, "fields": {"cuisine": "thai"}}]
    deliveries.clear()
    for item in serializers.deserialize("json", json.dumps(fixture)):
        item.save(using=using)
    assert Restaurant.objects.using(using).get().city == "Rome"
    assert deliveries.family("in") == {"in:Rome"}


def test_a_parent_that_becomes_a_child_names_its_old_state(
    override: Override, using: str, deliveries: Delivered
) -> None:
    override(Place, tags=["in:{city}"])
    place = Place.objects.using(using).create(name="P", city="Rome")
    deliveries.clear()
    Restaurant(place_ptr=place, name="P", city="Oslo").save(using=using)
    assert Place.objects.using(using).get().city == "Oslo"
    assert deliveries.family("in") == {"in:Rome", "in:Oslo"}


def test_a_field_that_stores_something_else_names_what_it_stores(
    override: Override, using: str, deliveries: Delivered
) -> None:
    override(Mail, tags=["mail:{address}"])
    Mail.objects.using(using).create(address="A@B")
    assert deliveries.family("mail") == {"mail:a@b"}


def test_values_that_do_not_compare_count_as_changed(
    override: Override, using: str, deliveries: Delivered
) -> None:
    override(Vec, tags=["home"], fields=["vector"])
    row = Vec.objects.using(using).create(vector=1)
    deliveries.clear()
    row.vector = 2
    row.save()
    assert "home" in deliveries.tags


def test_a_composite_key_that_is_made_up_here_is_saved_and_deleted(
    override: Override, using: str, deliveries: Delivered
) -> None:
    override(Composite, tags=["group:{group}"])
    row = Composite.objects.using(using).create(tenant=1)
    row.group = 5
    with transaction.atomic(using=using):
        row.save()
    assert deliveries.family("group") == {"group:0", "group:5"}
    deliveries.clear()
    row.delete()
    assert deliveries.family("group") == {"group:5"}


@pytest.mark.parametrize("looks_at_values", [False, True])
def test_a_relation_by_another_column_names_the_primary_key(
    override: Override, using: str, deliveries: Delivered, looks_at_values: bool
) -> None:
    override(Person, tags=["person:{code}"] if looks_at_values else ["person-page:{pk}"])
    override(Club)
    person = Person.objects.using(using).create(code="zz")
    club = Club.objects.using(using).create(name="C")
    # To know which row has that code takes a query, and not every rule is worth one.
    known = f"testapp.person+m2m:{person.pk}"
    families = [{known}] if looks_at_values else [{known}, {"testapp.person+m2m:*"}]
    for change in (
        lambda: club.members.add(person),
        lambda: club.members.remove(person),
        lambda: person.clubs.add(club),
        lambda: person.clubs.clear(),
        lambda: club.members.set([person]),
        lambda: club.members.clear(),
    ):
        deliveries.clear()
        change()
        assert deliveries.family("testapp.person+m2m") in families
        found = deliveries.family("testapp.club+m2m")
        assert found
        assert found <= {f"testapp.club+m2m:{club.pk}", "testapp.club+m2m:*"}
