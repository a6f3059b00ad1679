"""Processes that end while they refresh: nobody is harmed, and nothing is stuck."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from django.db import connection

from cache_invalidation import cached
from cache_invalidation.operations.warming import Budget, warm_all
from cache_invalidation.reads import cached_functions, recomputing
from cache_invalidation.reads.hottest import hottest
from cache_invalidation.stores import get_store
from tests.consistency.refresher import NAME, TIMEOUT
from tests.reads.aging import hit_when_due, nothing_begun, refreshed, settle
from tests.stores.steps import PATIENCE
from tests.testapp.models import Product

__all__ = ["nothing_begun"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def number() -> Any:
    @cached(timeout=TIMEOUT, refresh=True, name=NAME)
    def number() -> int:
        return Product.objects.count()

    assert number() == 0
    return number


@contextmanager
def another_process(what: str) -> Iterator[subprocess.Popen[str]]:
    """One that is in the middle of refreshing the value."""
    command = [sys.executable, "-m", "tests.consistency.refresher"]
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.consistency.victim_settings"}
    with subprocess.Popen(
        [*command, connection.settings_dict["NAME"], what],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "in the middle of it"
            yield process
        finally:
            process.kill()


def drop_everything() -> None:
    get_store().drop_everything()


def lapse(function: Any, redis_client: Any) -> None:
    """Let the time pass that a lock has at most."""
    lock = get_store()._lock_key(recomputing.lock_of(get_store().entry_place(function.key())))
    assert 0 < redis_client.pttl(lock) <= recomputing.LOCKED * 1000
    redis_client.delete(lock)


def test_one_that_is_killed_leaves_the_value_and_a_lock_that_lapses(number, redis_client):
    with another_process("hangs") as process:
        assert hit_when_due(number) == 0
        settle()
        assert refreshed(NAME) == {}  # The other one has the lock.
        process.kill()
        process.wait(PATIENCE)
    assert hit_when_due(number) == 0
    settle()
    assert refreshed(NAME) == {}
    lapse(number, redis_client)
    assert hit_when_due(number) == 0
    settle()
    assert refreshed(NAME) == {"stored": 1}


def test_a_warmer_that_is_killed_leaves_a_lock_that_lapses_and_nobody_waits(number, redis_client):
    with mock.patch.object(cached_functions, "is_chosen_for_warming", return_value=True):
        number()
    hottest.send()
    drop_everything()
    with another_process("warms") as process:
        assert warm_all(Budget())["taken"] == 1
        Product.objects.create(name="a")
        assert number() == 1
        drop_everything()
        process.kill()
        process.wait(PATIENCE)
    assert warm_all(Budget())["taken"] == 1
    lapse(number, redis_client)
    assert warm_all(Budget())["stored"] == 1
    assert warm_all(Budget())["there"] == 1
    assert number() == 1


def test_nobody_waits_for_one_that_hangs_when_something_is_written(number):
    with another_process("hangs"):
        Product.objects.create(name="a")
        assert number() == 1
        assert number() == 1
    assert number() == 1


def test_a_process_ends_although_a_refresh_hangs(number):
    with another_process("ends") as process:
        assert process.wait(PATIENCE) == 0
    assert number() == 0
