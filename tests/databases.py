"""How the databases are emptied after a test, and what of a connection outlives it."""

import os
import select
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Final
from unittest import mock
from weakref import WeakKeyDictionary

import psycopg
from django.db import connections
from django.db.transaction import atomic
from django.test import TransactionTestCase
from psycopg.pq import TransactionStatus


@contextmanager
def emptied_with_delete(aliases: Iterable[str]) -> Iterator[None]:
    """Empty databases after a test with DELETE: for few rows, TRUNCATE takes ten times as long.

    Content types and permissions are not created again, as `flush` does. No test needs the
    permissions, and content types are created on demand once they are forgotten: see
    `tests.conftest.empty_caches`.
    """
    deletions = {alias: list(_deletions(connections[alias])) for alias in aliases}

    def empty(command: str, *, database: str, **options: Any) -> None:
        with atomic(using=database):
            for statement in deletions[database]:
                connections[database].connection.execute(statement)  # Behind the watcher's back.

    with mock.patch("django.test.testcases.call_command", empty):
        yield


def _deletions(connection: Any) -> Iterator[str]:
    tables = connection.introspection.django_table_names(only_existing=True)
    statements = [f"DELETE FROM {connection.ops.quote_name(table)}" for table in tables]
    # PostgreSQL takes all of them at once.
    yield from ["; ".join(statements)] if connection.vendor == "postgresql" else statements


@contextmanager
def kept_sessions() -> Iterator[None]:
    """Have a session of PostgreSQL serve one test after another, each of which finds it new.

    Django closes its connections after each test with transactions of its own. To start another
    process of the server and have it read its catalogs costs more than most of the tests do.
    Django still connects anew, and sends its signals: it only gets a connection that was open.
    """
    kept = _Kept(psycopg.connect)

    def keep(case: Any) -> bool:
        for connection in connections.all(initialized_only=True):
            if kept.keeps(connection.connection):
                connection.connection = None
        return True  # The others are closed.

    with (
        closing(kept),
        mock.patch("psycopg.connect", kept.connect),
        mock.patch.object(TransactionTestCase, "_should_reload_connections", keep),
    ):
        yield


class _Kept:
    """Connections that are open and in nobody's hands."""

    def __init__(self, connect: Any) -> None:
        self._connect: Final = connect
        self._asked_for: Final = WeakKeyDictionary[Any, dict[str, Any]]()
        self._idle: Final[list[Any]] = []
        self._process: Final = os.getpid()

    def connect(self, *args: Any, **options: Any) -> Any:
        """Return a connection as `psycopg.connect` does, new or as good as new."""
        # A child that was forked has no part in the connections of its parent.
        idle = list(self._idle) if os.getpid() == self._process else []
        for connection in idle:
            if not args and self._asked_for[connection] == options:
                try:
                    self._idle.remove(connection)
                except ValueError:
                    continue  # Another thread was faster.
                # Nothing was asked: what there is to read is that the server has ended it.
                if not select.select([connection], [], [], 0)[0]:
                    return connection
                connection.close()
        connection = self._connect(*args, **options)
        if not args:
            self._asked_for[connection] = options
        return connection

    def keeps(self, connection: Any) -> bool:
        """Tell whether `connection` can be used again, and keep it if it can."""
        if (
            connection not in self._asked_for
            or connection.info.transaction_status != TransactionStatus.IDLE
        ):
            return False
        try:
            connection.autocommit = True
            connection.execute("DISCARD ALL")
        except psycopg.Error:
            return False
        connection.isolation_level = None
        self._idle.append(connection)
        return True

    def close(self) -> None:
        for connection in self._idle:
            connection.close()
