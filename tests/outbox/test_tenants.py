"""A ``KEY_FUNCTION`` that looks at the tenant, whom nobody knows when rows are delivered."""

import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from django.core.cache import caches

from cache_invalidation import stores
from cache_invalidation.models import PendingInvalidation
from cache_invalidation.outbox.draining import drain_all
from cache_invalidation.stores import get_store
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.breaker import State
from cache_invalidation.stores.redis.store import RedisStore
from example_project.servers import ValkeyServer
from tests.outages import Use, suspended, wait_for
from tests.outbox.rows import names, rows
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])

tenant: ContextVar[str] = ContextVar("tenant", default="public")
local = threading.local()

NOTHING: dict[str, list[str]] = {"tags": [], "entries": [], "keys": [], "patterns": []}


def by_context(key: str, prefix: str, version: int) -> str:
    return f"{tenant.get()}:{prefix}:{version}:{key}"


def by_thread(key: str, prefix: str, version: int) -> str:
    return f"{local.tenant}:{prefix}:{version}:{key}"


@pytest.fixture
def served() -> Iterator[None]:
    token, local.tenant = tenant.set("second"), "second"
    yield
    tenant.reset(token)
    del local.tenant


@pytest.fixture
def name_by(use: Use, valkey: ValkeyServer, settings: Any, served: None) -> Any:
    def name_by(function: Any) -> None:
        use(valkey.url)
        default = settings.CACHES["default"] | {"KEY_FUNCTION": f"{__name__}.{function.__name__}"}
        settings.CACHES = settings.CACHES | {"default": default}

    return name_by


def work_as(store: Store) -> None:
    """Have this process use `store`, as if it were another process."""
    stores._stores["default"] = stores._stores[None] = store


def test_what_a_process_that_never_reads_has_written_is_not_stale_for_others(
    name_by: Any, valkey: ValkeyServer
):
    name_by(by_context)
    reader, writer = RedisStore("default"), RedisStore("default")
    work_as(reader)
    assert names() == []
    work_as(writer)
    with suspended(valkey):
        Product.objects.create(name="a")
    wait_for(State.CLOSED)
    work_as(reader)  # Which has noticed nothing.
    assert names() == ["a"]


def test_a_drainer_that_serves_somebody_else_drops_what_the_writer_meant(
    name_by: Any, valkey: ValkeyServer
):
    name_by(by_context)
    reader, writer, drainer = (RedisStore("default") for _ in range(3))
    work_as(reader)
    assert names() == []
    work_as(writer)
    writer.recovery.stop()
    with suspended(valkey):
        Product.objects.create(name="a")
    work_as(drainer)
    token = tenant.set("public")
    assert drain_all() == 1
    tenant.reset(token)
    work_as(reader)
    assert names() == ["a"]


def test_a_function_that_knows_no_name_without_a_request_is_no_outage(
    name_by: Any, valkey: ValkeyServer
):
    name_by(by_thread)
    assert names() == []
    with suspended(valkey):
        Product.objects.create(name="a")
    wait_for(State.CLOSED)
    assert names() == ["a"]
    assert rows() == []
    assert get_store().breaker.outages == 1


def test_rows_that_say_nothing_of_a_tenant_are_delivered_as_they_are(name_by: Any):
    name_by(by_context)
    caches["default"].set("k", 1)
    root = "third:test:1:ci:t:*"
    PendingInvalidation.objects.create(targets=NOTHING | {"tags": ["a"], "roots": [root]})
    PendingInvalidation.objects.create(targets=NOTHING | {"keys": ["k"]})
    assert drain_all() == 2
    assert caches["default"].get("k") is None


def test_a_row_whose_roots_nobody_understands_keeps_no_other(name_by: Any):
    name_by(by_context)
    PendingInvalidation.objects.create(targets=NOTHING | {"tags": ["a"], "roots": 5})
    PendingInvalidation.objects.create(targets=NOTHING | {"tags": ["a"]})
    assert drain_all() == 1
    assert [row.targets["roots"] for row in rows()] == [5]
