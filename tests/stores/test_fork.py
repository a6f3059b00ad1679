"""A child that is forked while another thread of its parent is in the middle of something."""

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from django.core.cache import caches

from cache_invalidation.stores import get_store
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.django_cache import DjangoCacheStore
from cache_invalidation.stores.redis import connection as redis_connection
from cache_invalidation.stores.redis.cluster import ClusterConnectionFactory
from cache_invalidation.stores.redis.store import RedisStore
from tests.stores.conftest import cluster_alias
from tests.stores.steps import PATIENCE, drop


def ends_well_in_a_child(step: Callable[[], object]) -> bool:
    """Whether a child that is forked now gets through `step`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Of forking with threads.
        child = os.fork()
    if not child:
        try:
            step()
            os._exit(0)
        finally:
            os._exit(1)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status == 0
        time.sleep(0.02)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return False


@contextmanager
def held_elsewhere(lock: AbstractContextManager[Any]) -> Iterator[None]:
    """Let another thread hold `lock`."""
    has_it, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            has_it.set()
            may_go.wait(PATIENCE)

    thread = threading.Thread(target=hold)
    thread.start()
    assert has_it.wait(PATIENCE)
    try:
        yield
    finally:
        may_go.set()
        thread.join()


@pytest.mark.parametrize("alias", ["redis_django", "locmem"])
def test_a_child_does_not_wait_for_a_thread_of_its_parent(alias: str):
    store: Store = get_store(alias)
    assert isinstance(store, DjangoCacheStore)
    with held_elsewhere(store._lock):
        assert ends_well_in_a_child(lambda: drop(store, "a"))


def test_a_child_does_not_wait_for_who_was_connecting_to_a_cluster(settings, cluster):
    settings.CACHES |= {"cluster": cluster_alias(cluster)}
    with held_elsewhere(ClusterConnectionFactory._lock):
        assert ends_well_in_a_child(lambda: caches["cluster"].get("anything"))


def test_a_store_that_cannot_be_opened_in_the_child_is_no_matter_to_the_others(settings):
    default, caches_before = settings.CACHES["default"], settings.CACHES
    settings.CACHES = caches_before | {"gone": default}
    gone = [RedisStore("gone") for _ in range(20)]
    settings.CACHES = caches_before
    store = get_store("locmem")
    assert isinstance(store, DjangoCacheStore)
    with held_elsewhere(store._lock):
        assert ends_well_in_a_child(lambda: drop(store, "a"))
    assert {each.alias for each in gone} == {"gone"}


def test_a_child_closes_its_copies_of_connections_and_its_parent_goes_on(valkey):
    store = get_store()
    store.ping()
    opened = len(redis_connection.opened)
    assert opened

    def are_closed() -> None:
        assert not any(each.is_connected for each in list(redis_connection.opened))
        get_store().ping()

    assert ends_well_in_a_child(are_closed)
    store.ping()
    assert len(redis_connection.opened) == opened  # The parent needed no other one.
