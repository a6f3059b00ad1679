"""What a child of a fork may not do with what its parent has."""

import os
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from django.db import connection, connections

from cache_invalidation import forking
from cache_invalidation.forking import not_in_children, of_this_thread
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
    with not_in_children(of_this_thread()):
        pass
    assert ends_well_in_a_child(forking._after_fork)


@pytest.mark.django_db(transaction=True)
def test_a_child_does_not_hear_what_a_thread_of_its_parent_is_answered(monkeypatch):
    monkeypatch.setitem(connections.settings, "broken", {"ENGINE": "nowhere"})
    with not_in_children(of_this_thread()):
        connection.ensure_connection()
        descriptor = connection.connection.fileno()

        def is_null() -> None:
            assert os.fstat(descriptor).st_rdev == Path(os.devnull).stat().st_rdev

        assert ends_well_in_a_child(is_null)
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)
    assert not ends_well_in_a_child(is_null)
