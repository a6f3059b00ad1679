"""What a child of a fork may not do with what its parent has."""

import os
from threading import Event
from typing import Any

import pytest
from django.db import connections

from cache_invalidation import forking
from cache_invalidation.reads.background import Background
from cache_invalidation.stores import recovery
from tests.stores.steps import PATIENCE
from tests.stores.test_fork import ends_well_in_a_child


@pytest.fixture
def unusable(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the databases has a driver that is not there."""
    monkeypatch.setitem(connections.settings, "unusable", {"ENGINE": "not.there"})


def test_work_is_done_where_a_database_cannot_be_used(unusable, monkeypatch):
    background, is_done = Background(), Event()
    assert background.run(is_done.set)
    assert is_done.wait(PATIENCE)
    assert background.wait(PATIENCE)


def test_so_is_what_waits_for_a_cache(unusable):
    class Waiting:
        """Nothing is asked of it."""

        alias = "default"

    waiting: Any = recovery.Recovery(Waiting())  # type: ignore[arg-type]
    assert waiting._is_done(lambda deadline, stopped: True, None)


def test_a_child_needs_no_null_device_where_nothing_is_in_use(monkeypatch):
    monkeypatch.setattr(os, "devnull", "/not/there")
    with forking.not_in_children(forking.of_this_thread()):
        pass
    assert ends_well_in_a_child(forking._after_fork)
