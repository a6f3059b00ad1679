"""A second connection to a database commits while the first is in a transaction of its own."""

from typing import Any

import pytest
from django.db import connections, transaction

from cache_invalidation import ModelInvalidation, registry
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.stores import get_store
from tests.delivery.outbox.rows import rows
from tests.outages import Use, deliver_nothing
from tests.testapp.models import Category

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture
def second() -> Any:
    """Another connection to the database "other"."""
    connection = connections["other"].copy()
    yield connection
    connection.close()


@pytest.mark.parametrize("in_transaction", [True, False])
def test_what_waits_is_not_rolled_back_with_the_first(
    in_transaction: bool, second: Any, use: Use, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise StoreUnavailable("it is down")

    use(redis_url)
    deliver_nothing()
    pk = Category.objects.using("other").create(name="old").pk
    with registry.override(Category, ModelInvalidation), transaction.atomic("other"):
        Category.objects.using("other").count()
        second.set_autocommit(not in_transaction)
        monkeypatch.setattr(type(get_store()), "deliver", fail)
        with second.cursor() as cursor:
            cursor.execute("UPDATE testapp_category SET name = 'new' WHERE id = %s", [pk])
        if in_transaction:
            second.commit()
        monkeypatch.undo()
        transaction.set_rollback(True, "other")
    assert Category.objects.using("other").get().name == "new"
    (row,) = [*rows("other"), *rows("default")]
    assert f"testapp.category:{pk}" in row.targets["tags"]
