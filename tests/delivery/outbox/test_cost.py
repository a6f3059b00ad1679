"""What the outbox costs while all is well: nothing. And nobody watches it."""

from typing import Any

import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from cache_invalidation import cached, invalidate
from cache_invalidation.models import PendingInvalidation
from cache_invalidation.rules.catalog import is_watched
from tests.cursors import execute
from tests.delivered import delivered
from tests.delivery.outbox.rows import names, rows
from tests.outages import Use
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


def queries(using: str, action: Any) -> list[str]:
    with CaptureQueriesContext(connections[using]) as captured:
        action()
    return [query["sql"].partition(" ")[0] for query in captured.captured_queries]


def writes(using: str) -> dict[str, Any]:
    """Return ways to write, each with the statements that it takes."""
    products = Product.objects.using(using)
    product = products.create(name="a")

    def save_in_transaction() -> None:
        with transaction.atomic(using=using):
            product.save()

    def save_twice_in_transaction() -> None:
        with transaction.atomic(using=using):
            product.save()
            product.save()

    return {
        "save in a transaction": (save_in_transaction, ["BEGIN", "UPDATE", "COMMIT"]),
        "two of them": (save_twice_in_transaction, ["BEGIN", "UPDATE", "UPDATE", "COMMIT"]),
        "save": (product.save, ["BEGIN", "UPDATE", "COMMIT"]),
        "update": (lambda: products.update(stock=1), ["UPDATE"]),
        "bulk_create": (
            lambda: products.bulk_create([Product(name="b"), Product(name="c")]),
            ["BEGIN", "INSERT", "COMMIT"],
        ),
        "raw": (lambda: execute(using, "UPDATE testapp_product SET stock = 2"), ["UPDATE"]),
        "by hand": (lambda: invalidate(tags=["a"], keys=["k"], using=using), []),
    }


def test_while_the_store_is_there_a_write_takes_no_query_more(up: Use, using: str) -> None:
    for setting in ("ignore", "outbox", "abort"):
        up(ON_STORE_FAILURE=setting)
        for name, (write, expected) in writes(using).items():
            assert queries(using, write) == expected, (setting, name)


def test_a_read_takes_no_query_more(up: Use, using: str) -> None:
    up()
    assert queries(using, lambda: names(using)) == ["SELECT"]
    assert queries(using, lambda: names(using)) == []


def test_while_the_store_is_down_a_write_takes_one_insert_more(down: Use, using: str) -> None:
    for name, (write, expected) in writes(using).items():
        found = queries(using, write)
        assert found.count("INSERT") == expected.count("INSERT") + 1, name
        around = {"BEGIN", "COMMIT", "SAVEPOINT", "RELEASE"}
        assert set(found) - set(expected) <= around | {"INSERT", "UPDATE"}, name


def test_the_outbox_is_not_watched(up: Use) -> None:
    up()
    assert not is_watched(PendingInvalidation)
    with delivered() as found:
        row = PendingInvalidation.objects.create(targets={})
        PendingInvalidation.objects.update(cause="x")
        execute("default", f"UPDATE {PendingInvalidation._meta.db_table} SET cause = 'y'")
        row.delete()
    assert found == []
    assert queries("default", PendingInvalidation(targets={}).save) == ["INSERT"]


@pytest.mark.parametrize("kind", ["recorded", "declared"])
def test_a_cached_function_that_writes_does_not_depend_on_the_outbox(
    down: Use, settings: Any, kind: str
) -> None:
    tags = None if kind == "recorded" else [Product]

    @cached(tags=tags, timeout=60, name=f"outbox.{kind}")
    def writing() -> int:
        invalidate(tags=["a"])
        return Product.objects.count()

    settings.CACHE_INVALIDATION = settings.CACHE_INVALIDATION | {"UNDECLARED_READS": "error"}
    for _ in range(2):
        assert writing() == 0
    assert len(rows()) == 2
