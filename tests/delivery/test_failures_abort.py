"""``ON_STORE_FAILURE = "abort"``: rather no write than one that readers may not see."""

from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.db import DatabaseError, transaction
from django.utils.timezone import now

from cache_invalidation import cached, invalidate
from cache_invalidation.exceptions import (
    CacheInvalidationError,
    InvalidationAborted,
    StoreUnavailable,
)
from cache_invalidation.stores import get_store
from example_project.servers import ValkeyServer
from tests.stores.steps import wait_until
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@cached(tags=[Product], timeout=60, name="abort.names")
def names() -> list[str]:
    return sorted(Product.objects.values_list("name", flat=True))


@pytest.fixture(autouse=True)
def aborting(settings: Any, valkey: ValkeyServer) -> None:
    settings.CACHES = settings.CACHES | {
        "default": settings.CACHES["default"] | {"LOCATION": valkey.url}
    }
    settings.CACHE_INVALIDATION = {
        "ON_STORE_FAILURE": "abort",
        "RETRY_INTERVAL": 0.001,
        "METRICS_FLUSH_INTERVAL": 3600,
    }


def test_a_write_that_nobody_can_be_told_of_is_rolled_back(valkey: ValkeyServer):
    Product.objects.create(name="before")
    assert names() == ["before"]
    valkey.kill()
    ran: list[int] = []
    with pytest.raises(InvalidationAborted, match="rolled back") as caught, transaction.atomic():
        Product.objects.create(name="during")
        transaction.on_commit(lambda: ran.append(1))
    assert isinstance(caught.value, DatabaseError)
    assert isinstance(caught.value, CacheInvalidationError)
    assert ran == []
    assert list(Product.objects.values_list("name", flat=True)) == ["before"]
    valkey.start()
    wait_until(lambda: get_store().breaker.is_working)
    Product.objects.create(name="after")
    assert names() == ["after", "before"]


def test_a_save_in_autocommit_is_rolled_back_too(valkey: ValkeyServer):
    names()
    valkey.kill()
    with pytest.raises(InvalidationAborted):
        Product.objects.create(name="a")
    assert Product.objects.count() == 0


def test_after_an_aborted_write_the_connection_is_as_good_as_new(valkey: ValkeyServer):
    names()
    valkey.kill()
    with pytest.raises(InvalidationAborted), transaction.atomic():
        Product.objects.create(name="a")
    assert transaction.get_autocommit()
    with transaction.atomic():
        Session.objects.create(session_key="concerns nobody", expire_date=now())
    assert Session.objects.count() == 1


def test_a_commit_by_hand_can_be_tried_again(monkeypatch: pytest.MonkeyPatch):
    assert names() == []
    transaction.set_autocommit(False)
    try:
        Product.objects.create(name="a")
        with monkeypatch.context() as patch:
            patch.setattr(get_store(), "fence", refuse)
            with pytest.raises(InvalidationAborted):
                transaction.commit()
        transaction.commit()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert names() == ["a"]


def refuse(*args: Any) -> None:
    raise StoreUnavailable("just now")


def test_reads_go_on_while_writes_are_refused(valkey: ValkeyServer):
    Product.objects.create(name="a")
    valkey.kill()
    assert names() == ["a"]


def test_a_delivery_that_fails_after_commit_does_not_raise(valkey: ValkeyServer):
    with transaction.atomic():
        invalidate(keys=["a plain key needs no fence"])
        valkey.kill()
