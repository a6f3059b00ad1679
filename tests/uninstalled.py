"""Django as it is without this package, and what it sends with it and without it."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import Model, QuerySet
from django.db.models.deletion import Collector
from django.db.models.signals import m2m_changed, pre_delete
from django.test.utils import CaptureQueriesContext

from cache_invalidation.observing import watcher
from cache_invalidation.writes import bulk, commit, deletions, receivers, saves
from cache_invalidation.writes.statements import write

OBSERVERS = (bulk, commit, deletions, receivers, saves, watcher)
WRAPPED: list[tuple[Any, str]] = [
    (Model, "_save_table"),
    (QuerySet, "update"),
    (QuerySet, "bulk_create"),
    (Collector, "delete"),
]


@contextmanager
def uninstalled() -> Iterator[None]:
    """Take away everything by which writes are observed, until the block ends."""
    for alias in connections:
        connections[alias].ensure_connection()
    with pytest.MonkeyPatch.context() as patch:
        for kind, name in WRAPPED:
            patch.setattr(kind, name, getattr(kind, name).__wrapped__)
        for signal in (pre_delete, m2m_changed):
            patch.setattr(signal, "receivers", [])
            signal.sender_receivers_cache.clear()
        for connection in connections.all(initialized_only=True):
            for name in ("commit", "set_autocommit"):
                patch.delitem(connection.__dict__, name, raising=False)
        watcher.uninstall()
        assert not any(observer.is_installed() for observer in OBSERVERS)
        try:
            yield
        finally:
            watcher.install(write)
    for signal in (pre_delete, m2m_changed):
        signal.sender_receivers_cache.clear()
    assert all(observer.is_installed() for observer in OBSERVERS)


def sent(using: str, act: Callable[[], Any], *, atomic: bool = False) -> list[str]:
    """Return the statements that `act` sends, less the values in them."""
    with (
        CaptureQueriesContext(connections[using]) as queries,
        transaction.atomic(using=using) if atomic else nullcontext(),
    ):
        act()
    return [re.sub(r"'[^']*'|x?\d+", "0", query["sql"]) for query in queries]


def differences(name: str, found: list[str], expected: list[str], begins: int) -> Iterator[str]:
    if without_transactions(found) != without_transactions(expected):
        yield f"{name}:\n  {found}\n  {expected}"
        return
    added, before = (sum(sql.startswith("BEGIN") for sql in each) for each in (found, expected))
    if added - before != begins:
        yield f"{name}: {added} transactions, and {before} without the app"


def without_transactions(statements: list[str]) -> list[str]:
    return [text for text in statements if not text.startswith(("BEGIN", "COMMIT"))]
