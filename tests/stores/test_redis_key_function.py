"""A ``KEY_FUNCTION`` may answer differently each time, such as by the tenant that is served."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from cache_invalidation.stores.redis import RedisStore
from tests.stores.steps import MISS, drop, keep, recall, remember, sample

tenant: ContextVar[str] = ContextVar("tenant")


def tenant_key(key: str, key_prefix: str, version: int) -> str:
    return f"{tenant.get()}:{key_prefix}:{version}:{key}"


@contextmanager
def serving(name: str) -> Iterator[None]:
    token = tenant.set(name)
    try:
        yield
    finally:
        tenant.reset(token)


@pytest.fixture
def processes(settings: Any) -> tuple[RedisStore, RedisStore]:
    """The same store twice, as two processes have it, made while the tenant "first" is served."""
    default = settings.CACHES["default"] | {"KEY_FUNCTION": f"{__name__}.tenant_key"}
    settings.CACHES = settings.CACHES | {"default": default}
    with serving("first"):
        return RedisStore("default"), RedisStore("default")


def test_tenants_do_not_share_entries(processes: tuple[RedisStore, RedisStore]) -> None:
    store, _ = processes
    with serving("first"):
        remember(store, "page", "value", "a")
    with serving("second"):
        assert recall(store, "page", "a") == MISS
    with serving("first"):
        assert recall(store, "page", "a") == "value"


def test_a_process_that_served_another_tenant_before_notices_the_write(
    processes: tuple[RedisStore, RedisStore],
) -> None:
    reader, writer = processes
    with serving("first"):
        reader.versions(["a"])
    with serving("second"):
        assert keep(reader, "page", "old", sample(reader, "page", "a"))
        writer.fence(["a"], [], "writer")
        drop(writer, "a")
        assert recall(reader, "page", "a") == MISS


def test_a_write_for_one_tenant_costs_the_other_nothing(
    processes: tuple[RedisStore, RedisStore],
) -> None:
    reader, writer = processes
    for name in ("first", "second"):
        with serving(name):
            remember(reader, "page", name, "a")
    with serving("second"):
        drop(writer, "a")
        assert recall(reader, "page", "a") == MISS
    with serving("first"):
        assert recall(reader, "page", "a") == "first"
