"""What the database deletes by itself is invalidated along with what was deleted."""

from contextlib import ExitStack

import django
import pytest
from django.db import connection, connections, models, transaction

from cache_invalidation import ModelInvalidation, cached, registry
from tests.testapp.made import models_forgotten
from tests.testapp.models import Category, Product, Review, Tag

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

by_database = pytest.mark.skipif(
    django.VERSION < (6, 1), reason="this version of Django leaves nothing to the database"
)


@pytest.fixture
def make(using):
    """Make a model with a table; both are gone after the test."""
    with models_forgotten(), ExitStack() as stack:

        def make(name, **fields):
            meta = type("Meta", (), {"app_label": "testapp"})
            attributes = {"__module__": __name__, "Meta": meta, **fields}
            model = type(name, (models.Model,), attributes)
            with connections[using].schema_editor() as editor:
                editor.create_model(model)
            stack.callback(drop, model)
            return model

        def drop(model):
            with connections[using].schema_editor() as editor:
                editor.delete_model(model)

        yield make


def keys(queryset, name):
    """Return a cached function that lists the primary keys of `queryset`."""

    @cached(name=name)
    def read():
        return sorted(queryset.all().values_list("pk", flat=True))

    return read


def delete_by(how, queryset):
    if how == "statement":
        with connections[queryset.db].cursor() as cursor:
            cursor.execute(f"DELETE FROM {queryset.model._meta.db_table}")
    elif how == "queryset":
        queryset.all().delete()
    elif how == "raw":
        queryset.all()._raw_delete(queryset.db)
    else:
        queryset.get().delete()


@pytest.mark.parametrize("how", ["statement", "queryset", "raw", "instance"])
def test_what_is_left_to_the_constraint_of_the_project_is_told(using, make, deliveries, how):
    parent = make("Parent")
    child = make(
        "Child",
        parent=models.ForeignKey(parent, models.DO_NOTHING, db_constraint=False, related_name="+"),
    )
    make("Grandchild", child=models.ForeignKey(child, models.DO_NOTHING, db_constraint=False))
    make("Stranger", child=models.ForeignKey(child, models.CASCADE, db_constraint=False))
    parent.objects.using(using).create()
    deliveries.clear()
    delete_by(how, parent.objects.using(using))
    assert {"testapp.child", "testapp.child:*", "testapp.grandchild:*"} <= deliveries.tags
    assert "testapp.stranger" not in deliveries.tags


def test_what_goes_along_with_rows_that_nobody_watches_is_told(using, make, deliveries, settings):
    parent = make("Parent")
    make("Child", parent=models.ForeignKey(parent, models.DO_NOTHING, db_constraint=False))
    parent.objects.using(using).create()
    settings.CACHE_INVALIDATION = {"EXCLUDE": ["testapp.Parent"]}
    deliveries.clear()
    parent.objects.using(using).all().delete()
    assert deliveries.tags == {"testapp.child", "testapp.child:*"}


def test_only_deleting_leads_on(using, make, deliveries):
    parent = make("Parent", number=models.IntegerField(default=0))
    make("Child", parent=models.ForeignKey(parent, models.DO_NOTHING, db_constraint=False))
    deliveries.clear()
    row = parent.objects.using(using).create()
    row.save()
    parent.objects.using(using).update(number=1)
    assert not deliveries.family("testapp.child")
    parent.objects.using(using).filter(pk=-1)._raw_delete(using)
    assert not deliveries.family("testapp.child"), "no row was found"


def test_rows_that_refer_to_themselves_are_told_once(using, make, deliveries):
    node = make(
        "Node", parent=models.ForeignKey("self", models.DO_NOTHING, null=True, db_constraint=False)
    )
    node.objects.using(using).create()
    deliveries.clear()
    delete_by("statement", node.objects.using(using))
    assert deliveries.tags == {"testapp.node", "testapp.node:*"}


def test_those_who_refer_to_a_proxy_refer_to_its_table(using, make, deliveries):
    parent = make("Parent")
    meta = type("Meta", (), {"app_label": "testapp", "proxy": True})
    proxy = type("ParentProxy", (parent,), {"__module__": __name__, "Meta": meta})
    make("Child", parent=models.ForeignKey(proxy, models.DO_NOTHING, db_constraint=False))
    parent.objects.using(using).create()
    deliveries.clear()
    delete_by("statement", parent.objects.using(using))
    assert "testapp.child:*" in deliveries.tags


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_model_that_is_made_later_counts_as_well(using, make, deliveries, is_replaced):
    parent = make("Parent")
    parent.objects.using(using).create()
    delete_by("statement", parent.objects.using(using))
    make("Child", parent=models.ForeignKey(parent, models.DO_NOTHING, db_constraint=False))
    parent.objects.using(using).create(pk=5)
    deliveries.clear()
    if is_replaced and using == "sqlite":
        with connections[using].cursor() as cursor:
            cursor.execute("REPLACE INTO testapp_parent (id) VALUES (5)")
    else:
        delete_by("statement", parent.objects.using(using))
    assert "testapp.child:*" in deliveries.tags


@by_database
@pytest.mark.parametrize("how", ["statement", "queryset", "raw", "instance"])
def test_what_the_database_deletes_or_empties_is_fresh(using, make, how):
    parent = make("Parent")
    child = make("Child", parent=models.ForeignKey(parent, models.DB_CASCADE, related_name="+"))
    leaf = make("Leaf", child=models.ForeignKey(child, models.DB_CASCADE))
    loose = make("Loose", leaf=models.ForeignKey(leaf, models.DB_SET_NULL, null=True))
    row = parent.objects.using(using).create()
    row = child.objects.using(using).create(parent=row)
    row = leaf.objects.using(using).create(child=row)
    loose.objects.using(using).create(leaf=row)
    reads = [
        keys(child.objects.using(using), f"children {using}"),
        keys(leaf.objects.using(using), f"leaves {using}"),
        keys(loose.objects.using(using).filter(leaf=row.pk), f"loose {using}"),
    ]
    assert [len(read()) for read in reads] == [1, 1, 1]
    delete_by(how, parent.objects.using(using))
    assert loose.objects.using(using).count() == 1
    assert [read() for read in reads] == [[], [], []]


@by_database
def test_rules_of_what_the_database_deletes_drop_all_their_values(using, make, deliveries):
    class Rule(ModelInvalidation):
        tags = ["of:{parent_id}"]

    parent = make("Parent")
    child = make("Child", parent=models.ForeignKey(parent, models.DB_CASCADE))
    with registry.override(child, Rule):
        child.objects.using(using).create(parent=parent.objects.using(using).create())
        deliveries.clear()
        with transaction.atomic(using=using):
            parent.objects.using(using).get().delete()
        assert deliveries.family("of") == {"of:*"}


def test_everything_that_refers_to_what_is_truncated_is_fresh():
    if connection.vendor == "sqlite":
        pytest.skip("cannot truncate")
    category = Category.objects.create(name="A")
    product = Product.objects.create(name="P", category=category)
    product.tags.add(Tag.objects.create(name="T"))
    Review.objects.create(product=product)
    reads = [
        keys(Product.objects, "products"),
        keys(Review.objects, "reviews"),
        keys(Product.tags.through.objects, "relations"),
        keys(Tag.objects, "tags"),
    ]
    assert [len(read()) for read in reads] == [1, 1, 1, 1]
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE testapp_category CASCADE")
    assert [len(read()) for read in reads] == [0, 0, 0, 1]


@pytest.mark.parametrize("is_atomic", [False, True], ids=["autocommit", "atomic"])
def test_what_django_deletes_or_empties_itself_is_fresh(using, is_atomic):
    category = Category.objects.using(using).create(name="A")
    other = Category.objects.using(using).create(name="B")
    product = Product.objects.using(using).create(name="P", category=category)
    kept = Product.objects.using(using).create(name="Q", featured_in=category, category=other)
    Review.objects.using(using).create(product=product)
    reads = [
        keys(Product.objects.using(using), f"products {using}"),
        keys(Review.objects.using(using), f"reviews {using}"),
        keys(Product.objects.using(using).filter(featured_in=category), f"featured {using}"),
    ]
    assert [len(read()) for read in reads] == [2, 1, 1]
    if is_atomic:
        with transaction.atomic(using=using):
            category.delete()
    else:
        category.delete()
    assert [read() for read in reads] == [[kept.pk], [], []]
