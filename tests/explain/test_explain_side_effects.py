"""Explaining a write leaves no trace: not in the database, the store, the open transaction."""

from contextlib import nullcontext
from typing import Any

import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext
from model_bakery import baker

from cache_invalidation import ModelInvalidation, explain, registry
from cache_invalidation.explain import explain_sql
from cache_invalidation.transactions.open_batches import batches, hooks
from tests.delivered import commands, delivered
from tests.testapp.models import Category, Counter, Product, Review

pytestmark = pytest.mark.django_db(transaction=True)

EXPLAIN = {
    "an instance": lambda: explain(Product.objects.get(pk=42)),
    "a new instance": lambda: explain(Product(name="new", category_id=7)),
    "a queryset": lambda: explain(Product.objects.all()),
    "a model": lambda: explain(Product),
    "a deletion": lambda: explain(Category.objects.get(pk=7), operation="delete"),
    "deletions": lambda: explain(Category.objects.all(), operation="delete"),
    "an update": lambda: explain_sql("UPDATE testapp_product SET category_id = 8 WHERE id = 42"),
    "a delete": lambda: explain_sql("DELETE FROM testapp_product WHERE id = 42"),
    "an insert": lambda: explain_sql("INSERT INTO testapp_product (id, name) VALUES (1, 'a')"),
    "a truncate": lambda: explain_sql("TRUNCATE testapp_product CASCADE"),
    "a call": lambda: explain_sql("SELECT nextval('testapp_product_id_seq') FROM testapp_product"),
}


class ProductRule(ModelInvalidation):
    tags = ["category:{category_id}", "slug:{category__slug}"]
    keys = ["product:{pk}"]


@pytest.fixture(autouse=True)
def _rows():
    one, two = (baker.make(Category, pk=pk, slug=f"slug-{pk}") for pk in (7, 8))
    baker.make(Review, product=baker.make(Product, pk=42, category=one))
    baker.make(Product, pk=43, category=two, featured_in=one)
    with registry.override(Product, ProductRule):
        yield


def rows() -> Any:
    return [list(model.objects.order_by("pk").values()) for model in (Category, Product, Review)]


def next_key() -> int:
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT last_value FROM testapp_product_id_seq")
        return int(cursor.fetchone()[0])


def batch_contents() -> Any:
    connection = connections["default"]
    return len(hooks(connection)), [
        {name: str(getattr(batch, name)) for name in ("tags", "keys", "patterns", "entities")}
        for batch in batches(connection)
    ]


def lock_as_another(*tables: str) -> None:
    """Lock all rows on a connection of its own; raise `OperationalError` if one is locked."""
    connection = connections.create_connection("default")
    try:
        with connection.cursor() as cursor:
            for table in tables:
                cursor.execute(f"SELECT 1 FROM {table} FOR UPDATE NOWAIT")
    finally:
        connection.close()


@pytest.mark.parametrize("subject", EXPLAIN)
@pytest.mark.parametrize("in_transaction", [False, True])
def test_explaining_leaves_no_trace(subject, in_transaction, redis_client):
    found = rows(), next_key()
    queries = CaptureQueriesContext(connections["default"])
    with delivered() as deliveries, transaction.atomic() if in_transaction else nullcontext():
        if in_transaction:
            Counter.objects.create(name="opens a batch")
        batch, before = batch_contents(), len(deliveries)
        assert bool(batch[1]) == in_transaction
        with commands(redis_client) as sent, queries:
            explained = EXPLAIN[subject]()
        assert explained.tags or explained.reads
        assert (batch_contents(), len(deliveries), sent) == (batch, before, {})
        lock_as_another("testapp_category", "testapp_product", "testapp_review")
    verbs = {query["sql"].split()[0] for query in queries.captured_queries}
    assert verbs <= {"SELECT", "SAVEPOINT", "RELEASE"}
    assert not [query for query in queries.captured_queries if "FOR " in query["sql"]]
    assert (rows(), next_key()) == found


def test_the_instance_is_left_as_it_was():
    instance = Product.objects.select_related("category").defer("slug").get(pk=42)
    before = dict(instance.__dict__), dict(instance._state.fields_cache)
    for operation in ("save", "delete"):
        explain(instance, operation=operation)
    assert (instance.__dict__, instance._state.fields_cache) == before


def test_a_queryset_is_not_evaluated():
    queryset = Product.objects.all()
    explain(queryset)
    explain(queryset, operation="delete")
    assert queryset._result_cache is None
