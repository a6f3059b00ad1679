"""The store is back: if what waited cannot all be delivered, everything is dropped, else not."""

from typing import Any

import pytest
from django.db import connections, transaction

from cache_invalidation import cached
from cache_invalidation.delivery.outbox import draining
from cache_invalidation.delivery.outbox.draining import drain_all
from cache_invalidation.models import PendingInvalidation
from cache_invalidation.stores import get_store, recovery
from cache_invalidation.stores.breaker import State
from example_project.servers import ValkeyServer
from tests.delivered import update_behind_the_back
from tests.delivery.outbox.rows import let_wait, names, rows
from tests.elsewhere import elsewhere
from tests.outages import Use, suspended, wait_for
from tests.stores.steps import PATIENCE, wait_until
from tests.testapp.models import Category, Product

DATABASES = ["default", "other", "sqlite"]

pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)


@cached(tags=[Category], timeout=60, name="outbox.categories")
def categories() -> list[str]:
    """Return what none of these tests writes, except behind the back of the cache."""
    return list(Category.objects.values_list("name", flat=True))


def test_what_does_not_depend_on_what_was_written_is_still_cached(
    use: Use, valkey: ValkeyServer
) -> None:
    use(valkey.url)
    Category.objects.create(name="old")
    assert categories() == ["old"]
    with suspended(valkey):
        Product.objects.create(name="a")
    wait_for(State.WORKING)
    update_behind_the_back(Category.objects.all(), name="new")
    assert categories() == ["old"]


def cannot_be_delivered_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery.Recovery, "_settling", lambda self: -1)
    monkeypatch.setattr(draining, "BATCH", 1)
    let_wait(100)


def cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    database: Any = connections.settings["other"]
    monkeypatch.setitem(database, "NAME", "no such database")


def cannot_be_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    PendingInvalidation.objects.create(targets="hand-edited")


@pytest.mark.parametrize(
    "spoil", [cannot_be_delivered_in_time, cannot_be_read, cannot_be_understood]
)
def test_everything_is_dropped_where_the_backlog(
    use: Use, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch, spoil: Any
) -> None:
    """What can be delivered is delivered all the same."""
    use(valkey.url)
    Category.objects.create(name="old")
    Product.objects.create(name="a")
    assert (categories(), names()) == (["old"], ["a"])
    with suspended(valkey):
        Product.objects.update(name="b")
        spoil(monkeypatch)
    wait_for(State.WORKING)
    update_behind_the_back(Category.objects.all(), name="new")
    assert (categories(), names()) == (["new"], ["b"])
    wait_until(lambda: not PendingInvalidation.objects.exclude(targets="hand-edited").exists())


def test_what_somebody_else_has_locked_is_not_waited_for(use: Use, valkey: ValkeyServer) -> None:
    use(valkey.url)
    Category.objects.create(name="old")
    assert (categories(), names()) == (["old"], [])
    with suspended(valkey):
        Product.objects.create(name="a")
        transaction.set_autocommit(False)
        (locked,) = PendingInvalidation.objects.select_for_update()
    try:
        wait_for(State.WORKING)
        thread = get_store().recovery._thread
        assert thread is not None
        thread.join(PATIENCE)  # Else it might deliver the row when that is not locked any more.
        assert elsewhere(names) == ["a"]
        assert elsewhere(rows) == [locked]
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    update_behind_the_back(Category.objects.all(), name="new")
    assert categories() == ["new"]
    assert drain_all() == 1
