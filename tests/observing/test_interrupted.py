"""Something that comes in between a query and its answer, such as a `gevent.Timeout`."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from cache_invalidation.connections import shielded
from cache_invalidation.observing.relations import postgresql
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True)


class Interrupted(BaseException):
    """Nothing that psycopg knows, so it leaves the answer where it is."""


@pytest.fixture(autouse=True)
def only_here() -> Iterator[None]:
    if connection.vendor != "postgresql":
        pytest.skip("drivers of other databases wait without letting anybody else run")
    yield
    connection.close()


def interrupt(*args: Any) -> None:
    driver: Any = connection.connection
    driver.pgconn.send_query(b"SELECT 1")
    raise Interrupted


def test_it_gets_through_where_the_app_asks_what_a_name_stands_for(monkeypatch):
    with pytest.raises(Interrupted), transaction.atomic():
        Product.objects.count()
        monkeypatch.setattr(postgresql, "_rows", interrupt)
        postgresql.does_more(connection, "testapp_product", [])


def test_it_gets_through_where_code_of_a_rule_is_shielded():
    with pytest.raises(Interrupted), transaction.atomic(), shielded("default"):
        Product.objects.count()
        interrupt()


def test_it_gets_through_where_the_connection_was_closed_meanwhile():
    connection.set_autocommit(False)
    with pytest.raises(Interrupted), shielded("default"):
        Product.objects.count()
        connection.close()
        raise Interrupted
