"""A ``KEY_FUNCTION`` that looks at the tenant, whom nobody knows when rows are delivered."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import caches

from cache_invalidation import invalidate, no_invalidation, stores
from cache_invalidation.delivery.outbox.draining import drain_all
from cache_invalidation.models import PendingInvalidation
from cache_invalidation.stores import get_store
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.breaker import State
from cache_invalidation.stores.redis.store import RedisStore
from example_project.servers import ValkeyServer
from tests.delivery.outbox.rows import names, rows
from tests.outages import Use, deliver_nothing, suspended, wait_for
from tests.tenants import by_tenant, serving
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])

local = threading.local()

NOTHING: dict[str, list[str]] = {"tags": [], "entries": [], "keys": [], "patterns": []}


def by_thread(key: str, prefix: str, version: int) -> str:
    return f"{local.tenant}:{prefix}:{version}:{key}"


@pytest.fixture
def served() -> Iterator[None]:
    local.tenant = "second"
    with serving("second"):
        yield
    del local.tenant


@pytest.fixture
def name_by(use: Use, valkey: ValkeyServer, settings: Any, served: None) -> Any:
    def name_by(function: Any) -> None:
        use(valkey.url)
        default = settings.CACHES["default"] | {"KEY_FUNCTION": function}
        settings.CACHES = settings.CACHES | {"default": default}

    return name_by


def work_as(store: Store) -> None:
    """Have this process use `store`, as if it were another process."""
    stores._stores["default"] = stores._stores[None] = store


def test_what_a_process_that_never_reads_has_written_is_not_stale_for_others(
    name_by: Any, valkey: ValkeyServer
):
    name_by(by_tenant)
    reader, writer = RedisStore("default"), RedisStore("default")
    work_as(reader)
    assert names() == []
    work_as(writer)
    with suspended(valkey):
        Product.objects.create(name="a")
    wait_for(State.WORKING)
    work_as(reader)  # Which has noticed nothing.
    assert names() == ["a"]


def test_a_drainer_that_serves_somebody_else_drops_what_the_writer_meant(
    name_by: Any, valkey: ValkeyServer
):
    name_by(by_tenant)
    reader, writer, drainer = (RedisStore("default") for _ in range(3))
    work_as(reader)
    assert names() == []
    work_as(writer)
    deliver_nothing()
    with suspended(valkey):
        Product.objects.create(name="a")
    work_as(drainer)
    with serving("public"):
        assert drain_all() == 1
    work_as(reader)
    assert names() == ["a"]


def test_a_function_that_knows_no_name_without_a_request_is_no_outage(
    name_by: Any, valkey: ValkeyServer
):
    name_by(by_thread)
    assert names() == []
    with suspended(valkey):
        Product.objects.create(name="a")
    wait_for(State.WORKING)
    assert names() == ["a"]
    assert rows() == []
    assert get_store().breaker.outages == 1


def test_an_entry_and_plain_keys_that_wait_are_those_of_the_writer(
    name_by: Any, valkey: ValkeyServer
):
    name_by(by_tenant)
    plain = ["k", "list:1"]
    for name in ("public", "second"):
        with serving(name):
            caches["default"].set_many(dict.fromkeys(plain, 1))
            assert names() == []
    with no_invalidation():
        Product.objects.create(name="a")
    writer, drainer = get_store(), RedisStore("default")
    writer.recovery.stop()
    with suspended(valkey):
        names.invalidate()
        invalidate(keys=["k"], patterns=["list:*"])
    work_as(drainer)
    with serving("public"):
        assert drain_all() == 2
        assert list(caches["default"].get_many(plain)) == plain
        assert names() == [], "it is another entry"
    assert caches["default"].get_many(plain) == {}
    assert names() == ["a"]


def test_rows_that_do_not_say_where_it_is_are_delivered_to_who_is_served(name_by: Any):
    name_by(by_tenant)
    caches["default"].set_many({"k": 1, "list:1": 1})
    PendingInvalidation.objects.create(targets=NOTHING | {"keys": ["k"], "patterns": ["list:*"]})
    assert drain_all() == 1
    assert caches["default"].get_many(["k", "list:1"]) == {}


def test_an_entry_of_which_a_row_does_not_say_where_it_is_is_dropped_with_everything(name_by: Any):
    name_by(by_tenant)
    assert names() == []
    with no_invalidation():
        Product.objects.create(name="a")
    PendingInvalidation.objects.create(targets=NOTHING | {"entries": [names.key()]})
    with serving("public"):
        assert drain_all() == 1
    assert names() == ["a"]


@pytest.mark.parametrize("places", [5, {"keys": 5}, {"keys": {"place": 5}}])
def test_a_row_whose_places_nobody_understands_keeps_no_other(name_by: Any, places: Any):
    name_by(by_tenant)
    PendingInvalidation.objects.create(targets=NOTHING | {"tags": ["a"], "places": places})
    PendingInvalidation.objects.create(targets=NOTHING | {"tags": ["a"]})
    assert drain_all() == 1
    assert [row.targets["places"] for row in rows()] == [places]
