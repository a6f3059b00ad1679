"""Tags, keys and patterns with fields of their own, in one rule and in several."""

import pickle
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.checks import Error
from model_bakery import baker

from cache_invalidation import (
    Change,
    Key,
    ModelInvalidation,
    Pattern,
    Tag,
    explain,
    invalidate,
    registry,
)
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from cache_invalidation.rules.differences import _differs
from cache_invalidation.testing import override_rules
from tests.checks.reporting import reported
from tests.cursors import execute
from tests.delivered import Delivered, delivered
from tests.testapp.matrix import Note
from tests.testapp.models import Category, Product
from tests.testapp.unusual import Composite, Vec, Vector

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


class Menus(ModelInvalidation):
    tags = ["any", Tag("menu", fields=["name", "category"]), Tag("stock:{pk}", fields=["stock"])]
    keys = ["all", Key("names", fields=["name"])]
    patterns = [Pattern("stock-list:*", fields=["stock"])]


class Priced(ModelInvalidation):
    """Its own fields are those of what says nothing."""

    fields = ["price"]
    tags = ["prices", Tag("menu", fields=["name"])]


def make(**values: Any) -> type[ModelInvalidation]:
    return type("Rule", (ModelInvalidation,), values)


@pytest.fixture(params=["default", "sqlite"])
def using(request: Any) -> str:
    return str(request.param)


@pytest.fixture
def product(using: str) -> Product:
    made: Product = baker.make(Product, name="a", stock=1, _using=using)
    return made


def declared(found: Delivered) -> set[str]:
    own = {tag for tag in found.tags if not tag.startswith("testapp.")}
    return own | found.keys | found.patterns


EACH = [
    ({"name": "b"}, {"any", "all", "menu", "names"}),
    ({"stock": 2}, {"any", "all", "stock:PK", "stock-list:*"}),
    ({"slug": "b"}, {"any", "all"}),
    ({"name": "c", "stock": 3}, {"any", "all", "menu", "names", "stock:PK", "stock-list:*"}),
]


@pytest.mark.parametrize(("values", "expected"), EACH)
@pytest.mark.parametrize("way", ["save", "update_fields", "update", "bulk_update", "raw"])
def test_each_goes_if_one_of_its_fields_changes(values, expected, way, product, using):
    with registry.override(Product, Menus), delivered() as found:
        rows = Product.objects.using(using)
        for name, value in values.items():
            setattr(product, name, value)
        if way == "save":
            product.save()
        elif way == "update_fields":
            product.save(update_fields=list(values))
        elif way == "update":
            rows.filter(pk=product.pk).update(**values)
        elif way == "bulk_update":
            rows.bulk_update([product], list(values))
        else:
            assigned = ", ".join(f"{name} = %s" for name in values)
            sql = f"UPDATE testapp_product SET {assigned} WHERE id = %s"
            execute(using, sql, [*values.values(), product.pk])
    assert declared(found) == {name.replace("PK", str(product.pk)) for name in expected}
    assert f"testapp.product:{product.pk}" in found.tags


def test_rows_that_are_not_known_count_by_what_the_statement_assigns(product, using):
    with registry.override(Product, Menus), delivered() as found:
        execute(using, "UPDATE testapp_product SET stock = 5")
        assert declared(found) == {"any", "all", "stock:*", "stock-list:*"}
        found.clear()
        invalidate(Product)
    everything = {"any", "all", "menu", "names", "stock:*", "stock-list:*"}
    assert declared(found) == everything


def test_what_comes_or_goes_changes_all_fields(using):
    with registry.override(Product, Menus), delivered() as found:
        made = baker.make(Product, _using=using)
        assert declared(found) >= {"menu", "names", "stock-list:*"}
        found.clear()
        made.delete()
        assert declared(found) >= {"menu", "names", "stock-list:*"}


def test_fields_of_one_take_the_place_of_those_of_the_rule(product, using):
    with registry.override(Product, Priced), delivered() as found:
        product.name = "b"
        product.save()
        assert declared(found) == {"menu"}
        found.clear()
        product.price = 3
        product.save()
        assert declared(found) == {"prices"}


def test_several_rules_fire_by_themselves_and_are_counted_once(product, using):
    class Coded(ModelInvalidation):
        families = ["cat"]

        def get_tags(self, change: Change) -> list[str]:
            return [f"cat:{row.category_id}" for row in change.instances]  # type: ignore[attr-defined]

    with registry.override(Product, Menus, Priced, Coded), delivered() as found:
        reset_metrics()
        product.price = 7
        product.save()
        assert declared(found) == {"any", "all", "prices", "cat:None"}
        assert read_metrics()["invalidations_by_entity_type"] == {"testapp.product": 1}
        found.clear()
        reset_metrics()
        invalidate(Product)
        assert {"cat:*", "prices", "menu"} <= found.tags
        assert read_metrics()["invalidations_by_entity_type"] == {"testapp.product": 1}
        reset_metrics()
        product.delete()
        assert read_metrics()["invalidations_by_entity_type"] == {"testapp.product": 1}
    with override_rules({Product: [make(entity_type="a"), make(entity_type="b")]}):
        reset_metrics()
        baker.make(Product, _using=using).delete()
        assert read_metrics()["invalidations_by_entity_type"] == {"a": 2, "b": 2}


def test_one_of_several_rules_that_fails_does_not_silence_the_others(product, using):
    broken = make(get_tags=lambda self, change: 1 / 0)
    with registry.override(Product, broken, Priced, make(tags=["{"])), delivered() as found:
        product.price = 9
        product.save()
    assert {"*", "prices"} <= found.tags


def test_explain_says_on_what_each_depends(product, using):
    with registry.override(Product, Menus, Priced):
        product.slug = "b"
        menus, priced = explain(product, using=using).effects
        assert menus.tags == ("any", "testapp.product", f"testapp.product:{product.pk}")
        assert menus.stays == ("menu", "stock:{pk}", "names", "stock-list:*")
        assert "menu goes only if category or name changes" in menus.notes
        assert priced.stays == ("prices", "menu")
        menus, priced = explain(Product).effects
        assert menus.stays == priced.stays == ()
        assert "menu goes only if name changes" in priced.notes


def test_they_are_strings_as_any_other():
    tag = Tag("menu", fields=("name", "price"))
    assert tag == "menu"
    assert f"{tag}" == "menu"
    copy = pickle.loads(pickle.dumps(tag))
    assert (type(copy), copy, copy.fields) == (Tag, "menu", {"name", "price"})


@pytest.mark.parametrize("fields", [[], "name", [3]])
def test_fields_are_a_list_of_names(fields: Any):
    with pytest.raises(TypeError, match=r"write Tag\('menu', fields=\['name'\]\)"):
        Tag("menu", fields=fields)


def messages_of(**values: Any) -> list[tuple[type, str, str]]:
    with registry.override(Product, make(**values)):
        found = reported()
    return [(type(m), str(m.id).rpartition(".")[2], m.msg) for m in found]


def test_e008_fields_that_are_not_there():
    ((kind, number, message),) = messages_of(tags=[Tag("menu", fields=["nothing"])])
    assert (kind, number) == (Error, "E008")
    assert message.startswith("Tag('menu') names 'nothing'")


def test_e006_what_is_in_the_wrong_list():
    ((kind, number, message),) = messages_of(keys=[Tag("menu", fields=["name"])])
    assert (kind, number) == (Error, "E006")
    assert message == "keys has the tag 'menu'."


def test_a_field_in_several_columns_changes_with_each_of_them(using):
    contents = ContentType.objects.db_manager(using)
    kinds = [contents.get_for_model(model) for model in (Product, Category)]
    note = Note.objects.using(using).create(content_type=kinds[0], object_id=1)
    with registry.override(Note, make(tags=[Tag("own", fields=["target"])], fields=["text"])):
        for values in ({"object_id": 2}, {"content_type": kinds[1]}):
            with delivered() as found:
                Note.objects.using(using).update(**values)
            assert "own" in found.tags
        note.object_id, note.content_type = 3, kinds[1]
        for is_told in (True, False):
            with delivered() as found:
                note.save()
            assert ("own" in found.tags) is is_told
    Composite.objects.using(using).create(tenant=1)
    with registry.override(Composite, make(tags=["own"], fields=["pk"])), delivered() as found:
        Composite.objects.using(using).update(group=2)
        assert "own" not in found.tags
        Composite.objects.using(using).update(tenant=2)
        assert "own" in found.tags


def test_a_field_in_the_rows_of_another_model_may_change_with_any_write(product, using):
    rule = make(tags=[Tag("own", fields=["reviews"])])
    with registry.override(Product, rule), delivered() as found:
        product.save()
    assert "own" in found.tags
    ((kind, number, message),) = messages_of(tags=[Tag("own", fields=["reviews"])])
    assert (kind, number) == (Error, "E008")
    assert "is in the rows of another model" in message
    assert messages_of(fields=["tags"], tags=["own"]) == []


def test_values_of_a_project_are_what_the_database_is_sent(monkeypatch: pytest.MonkeyPatch):
    values: list[Any] = [Vector(1), Vector(1), Vector(2)]
    one, same, other = (Vec(vector=value) for value in values)
    for answer in (True, False):
        monkeypatch.setattr(Vector, "__eq__", lambda *both, answer=answer: answer)
        assert not _differs(one, same, "vector")
        assert _differs(one, other, "vector")
