"""Rules of parents, children and proxies: one row in several tables fires them all."""

import pytest
from model_bakery import baker

from cache_invalidation import Change, ModelInvalidation, cached, invalidate, registry
from tests.delivered import delivered
from tests.ruled import override
from tests.testapp.models import Place, Product, ProductProxy, Restaurant
from tests.testapp.unusual import Diner

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


__all__ = ["override"]


def tags_of_row(pk: int) -> set[str]:
    """Return the tags of a row in any of the three tables: who shares a key may share the row."""
    labels = ("testapp.place", "testapp.restaurant", "testapp.diner")
    return {*labels, *(f"{label}:{pk}" for label in labels)}


# A place may be a shop as well, which has a key of its own.
SHOPS = {"testapp.shop", "testapp.shop:*"}


@pytest.mark.parametrize("using", ["default", "sqlite"])
def test_a_saved_child_fires_the_rules_of_its_parent_with_old_and_new_values(using, override):
    override(Place, tags=["city:{city}"])
    child = baker.make(Restaurant, city="Rome", _using=using)
    with delivered() as found:
        child.city = "Oslo"
        child.save()
    assert found.tags == {*tags_of_row(child.pk), *SHOPS, "city:Rome", "city:Oslo"}


@pytest.mark.parametrize("using", ["default", "sqlite"])
def test_a_saved_parent_fires_the_rules_of_its_children_with_old_and_new_values(using, override):
    override(Restaurant, tags=["r:{cuisine}:{city}"])
    child = baker.make(Restaurant, city="Rome", cuisine="thai", _using=using)
    parent = Place.objects.using(using).get(pk=child.pk)
    with delivered() as found:
        parent.city = "Oslo"
        parent.save()
    assert found.tags == {*tags_of_row(child.pk), "r:thai:Rome", "r:thai:Oslo"}


def test_a_saved_parent_that_is_no_child_leaves_the_children_alone(override):
    override(Place)
    override(Restaurant, tags=["r:{cuisine}"])
    with delivered() as found:
        baker.make(Place)
    assert not any(tag.startswith(("testapp.restaurant:", "r:")) for tag in found.tags)


def test_a_saved_grandchild_fires_the_rules_of_all_three_tables(override):
    override(Place, tags=["city:{city}"])
    override(Restaurant, tags=["cuisine:{cuisine}"])
    override(Diner, tags=["stools:{stools}"])
    diner = baker.make(Diner, city="Rome", cuisine="thai", stools=1)
    diner.city, diner.cuisine, diner.stools = "Oslo", "fish", 2
    with delivered() as found:
        diner.save()
    assert found.tags == {
        *("city:Rome", "city:Oslo", "cuisine:thai", "cuisine:fish", "stools:1", "stools:2"),
        *("testapp.place", "testapp.restaurant", "testapp.diner"),
        *(f"testapp.{name}:{diner.pk}" for name in ("place", "restaurant", "diner")),
        *SHOPS,
    }


def test_a_saved_grandparent_fires_the_rule_of_its_grandchild(override):
    override(Diner, tags=["d:{stools}:{cuisine}:{city}"])
    diner = baker.make(Diner, city="Rome", cuisine="thai", stools=1)
    grandparent = Place.objects.get(pk=diner.pk)
    with delivered() as found:
        grandparent.city = "Oslo"
        grandparent.save()
    assert found.family("d") == {"d:1:thai:Rome", "d:1:thai:Oslo"}
    assert f"testapp.diner:{diner.pk}" in found.tags


def test_a_saved_row_in_the_middle_fires_the_rules_above_and_below(override):
    override(Place, tags=["city:{city}"])
    override(Diner, tags=["d:{cuisine}"])
    diner = baker.make(Diner, city="Rome", cuisine="thai")
    middle = Restaurant.objects.get(pk=diner.pk)
    with delivered() as found:
        middle.city, middle.cuisine = "Oslo", "fish"
        middle.save()
    assert found.family("city") == {"city:Rome", "city:Oslo"}
    assert found.family("d") == {"d:thai", "d:fish"}


@pytest.mark.parametrize("model", [Place, Restaurant, Diner])
def test_a_deleted_row_fires_the_rules_of_all_its_tables(model, override):
    override(Place, tags=["city:{city}"])
    override(Diner, tags=["stools:{stools}"])
    diner = baker.make(Diner, city="Rome", stools=3)
    with delivered() as found:
        model.objects.get(pk=diner.pk).delete()
    assert not Place.objects.exists()
    assert found.tags >= {"city:Rome", "stools:3", "testapp.place", f"testapp.diner:{diner.pk}"}


def test_update_fields_of_a_child_that_are_columns_of_its_parent_count(override):
    override(Place, tags=["city:{city}"])
    child = baker.make(Restaurant, city="Rome", cuisine="thai")
    with delivered() as found:
        child.city, child.cuisine = "Oslo", "fish"
        child.save(update_fields=["city"])
    assert found.family("city") == {"city:Rome", "city:Oslo"}


def test_the_fields_of_a_childs_rule_may_be_columns_of_its_parent(override):
    override(Restaurant, tags=["homepage"], fields=["city"])
    child = baker.make(Restaurant, city="Rome")
    parent = Place.objects.get(pk=child.pk)
    with delivered() as found:
        parent.name = "changed"
        parent.save()
        assert "homepage" not in found.tags
        parent.city = "Oslo"
        parent.save()
        assert "homepage" in found.tags


def test_the_rule_of_a_child_gets_children_in_its_changes(override):
    changes: list[Change] = []

    def remember(rule: ModelInvalidation, change: Change) -> list[str]:
        changes.append(change)
        return []

    override(Restaurant, get_tags=remember)
    child = baker.make(Restaurant, city="Rome", cuisine="thai")
    changes.clear()
    parent = Place.objects.get(pk=child.pk)
    parent.city = "Oslo"
    parent.save()
    (change,) = changes
    assert change.model is Restaurant
    assert isinstance(change.old, Restaurant)
    assert isinstance(change.new, Restaurant)
    assert (change.old.city, change.new.city, change.new.cuisine) == ("Rome", "Oslo", "thai")


def test_unknown_rows_of_a_parent_are_unknown_rows_of_its_children(override):
    override(Place, tags=["city:{city}"])
    override(Diner, tags=["stools:{stools}"])
    with delivered() as found:
        invalidate(Place)
    assert found.tags >= {"testapp.place:*", "city:*", "testapp.diner:*", "stools:*"}


def test_who_reads_children_notices_a_write_to_the_parent():
    @cached(tags=[Restaurant])
    def cities():
        return list(Restaurant.objects.values_list("city", flat=True))

    with registry.override(Restaurant, ModelInvalidation):
        child = baker.make(Restaurant, city="Rome")
        assert cities() == ["Rome"]
        parent = Place.objects.get(pk=child.pk)
        parent.city = "Oslo"
        parent.save()
        assert cities() == ["Oslo"]


@pytest.mark.parametrize(
    ("registered", "written"),
    [(Product, ProductProxy), (ProductProxy, Product), (ProductProxy, ProductProxy)],
)
def test_a_proxy_and_its_table_fire_the_same_rules(registered, written, override):
    override(registered, tags=["stock:{stock}"])
    row = baker.make(written, stock=1)
    with delivered() as found:
        row.stock = 2
        row.save()
        assert found.tags == {
            *("testapp.product", f"testapp.product:{row.pk}"),
            *("stock:1", "stock:2"),
        }
        found.clear()
        key = row.pk
        row.delete()
        assert found.tags == {"testapp.product", f"testapp.product:{key}", "stock:2"}


def test_rules_of_a_proxy_and_of_its_table_add_up(override):
    override(Product, tags=["a:{stock}"])
    override(ProductProxy, tags=["b:{stock}"])
    with delivered() as found:
        baker.make(Product, stock=1)
    assert found.tags >= {"a:1", "b:1"}
