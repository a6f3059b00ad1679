"""What a connection to a database is in the middle of, and what is done to each of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

# Isolation levels under which every query sees the rows as they are committed at that moment.
_FRESH = {"read committed", "read uncommitted"}

# Where on a connection it is kept how the transaction is isolated that it is in.
_ISOLATION = "_cache_invalidation_isolation"


def in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Whether what is written now becomes visible only with a later COMMIT."""
    # Not get_autocommit(), which would connect to a database that nobody has used yet.
    return connection.in_atomic_block or (
        connection.connection is not None and not connection.autocommit
    )


def has_begun(connection: BaseDatabaseWrapper) -> bool:
    """Whether SQLite has begun the transaction in which `connection` takes itself to be.

    With autocommit off, the driver does so before the first statement that it knows to write.
    """
    return bool(cast("Any", connection.connection).in_transaction)


def is_open_for_driver(connection: BaseDatabaseWrapper) -> bool:
    """Whether there is a transaction that Django does not know of: by a BEGIN, or a pipeline.

    Nobody tells when it ends.
    """
    driver: Any = connection.connection
    if driver is None or in_transaction(connection):
        return False
    if connection.vendor == "sqlite":
        return bool(driver.in_transaction)
    if connection.vendor != "postgresql":
        return False
    # 0 is "idle", in both versions of psycopg, and "off". A pipeline is a transaction as well.
    pipeline = getattr(getattr(driver, "pgconn", None), "pipeline_status", 0)
    return bool(driver.info.transaction_status or pipeline)


def is_interrupted(connection: BaseDatabaseWrapper) -> bool:
    """Whether something has come in between a query and its answer, such as a `gevent.Timeout`.

    No other query can be sent then, and what has come in between must not be lost in its error.
    """
    driver: Any = connection.connection
    if connection.vendor != "postgresql" or driver is None:
        return False
    # 1 is "active", in both versions of psycopg. One that is closed is left to those who find out.
    return bool(driver.info.transaction_status == 1)


def sees_snapshot() -> bool:
    """Whether a transaction of this thread may see older rows than are committed now.

    That is so in SQLite transactions, and from REPEATABLE READ on. What is computed there must not
    be stored, since the versions sampled may be newer than the rows.
    """
    return any(map(is_snapshot, connections.all(initialized_only=True)))


def is_snapshot(connection: BaseDatabaseWrapper) -> bool:
    """Whether a query on `connection` may see older rows than are committed now."""
    if connection.connection is None:
        return False
    is_open = in_transaction(connection) or is_open_for_driver(connection)
    if connection.vendor == "sqlite":
        is_open = is_open or _has_unread_rows(connection)
    return is_open and _is_frozen(connection)


def answers_from_snapshot(connection: BaseDatabaseWrapper) -> bool:
    """Tell what `is_snapshot` tells, and ask a server once for all queries of a transaction."""
    ends_with_block = connection.in_atomic_block and connection.commit_on_exit
    if connection.vendor != "postgresql" or not ends_with_block:
        return is_snapshot(connection)
    # Django has another list of hooks after each COMMIT and ROLLBACK, also to a savepoint; but not
    # where the project ends the transaction itself.
    hooks, memory = connection.run_on_commit, connection.__dict__
    asked, is_frozen = memory.get(_ISOLATION, (None, True))
    if asked is not hooks:
        # A query, unlike SHOW, after which the level of the transaction cannot be set any more.
        level = _postgres_isolation(connection, "SELECT current_setting('transaction_isolation')")
        is_frozen = level not in _FRESH
        memory[_ISOLATION] = hooks, is_frozen
    return bool(is_frozen)


def _has_unread_rows(connection: BaseDatabaseWrapper) -> bool:
    """Whether a query of this SQLite connection has not been read to its end.

    As long as that is so, every other one sees the same state of the database as it. SQLite says so
    by refusing to define a function again; the first call is for defining it at all.
    """
    driver: Any = connection.connection
    try:
        for _ in range(2):
            driver.create_function("cache_invalidation_probe", 0, _probe)
    except connection.Database.Error:  # type: ignore[attr-defined]
        return True
    return False


def _probe() -> None:
    """Stand for a function of SQL; nobody calls it."""


def _is_frozen(connection: BaseDatabaseWrapper) -> bool:
    if connection.vendor == "postgresql":
        return _postgres_isolation(connection) not in _FRESH
    if connection.vendor == "sqlite":
        # A database in memory has this connection only, and so nobody who could write meanwhile.
        return not connection.is_in_memory_db()  # type: ignore[attr-defined]
    return getattr(connection, "isolation_level", None) not in _FRESH


def _postgres_isolation(
    connection: BaseDatabaseWrapper, question: str = "SHOW transaction_isolation"
) -> str | None:
    """Ask the server: the level can come from the role, the database, OPTIONS or SET TRANSACTION.

    The driver's own cursor is used, so that neither the query log nor a project's
    ``execute_wrapper`` sees a statement that the project did not issue.
    """
    if connection.needs_rollback:
        return None
    try:
        with connection.create_cursor() as cursor:
            cursor.execute(question)
            return str(cursor.fetchone()[0])
    except connection.Database.Error:  # type: ignore[attr-defined]
        return None


def on_each(act: Callable[[BaseDatabaseWrapper], None], uid: str) -> None:
    """Call `act` with each connection of this thread, and with those that anybody will open."""

    def on_connection(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
        act(connection)

    connection_created.connect(on_connection, weak=False, dispatch_uid=uid)
    for connection in connections.all(initialized_only=True):
        act(connection)


def off_each(undo: Callable[[BaseDatabaseWrapper], None], uid: str) -> None:
    """Take back `on_each`; `undo` what it has done to each connection of this thread."""
    connection_created.disconnect(dispatch_uid=uid)
    for connection in connections.all(initialized_only=True):
        undo(connection)


def is_on_each(is_done: Callable[[BaseDatabaseWrapper], bool], uid: str) -> bool:
    """Whether `on_each` acts, and its effect `is_done` on the open connections of this thread."""
    connected = {lookup[0] for lookup, *_ in connection_created.receivers}
    return uid in connected and all(
        is_done(connection)
        for connection in connections.all(initialized_only=True)
        if connection.connection is not None
    )


@contextmanager
def shielded(using: str) -> Iterator[None]:
    """Keep a query of the project's rules from breaking the transaction that they run in.

    If the block raises, the transaction on `using` goes on as if the block had not queried it. The
    savepoint that this takes is made with the first query, so that code without one costs nothing.
    """
    connection = connections[using]
    if not in_transaction(connection) or connection.needs_rollback:
        yield
        return
    savepoints: list[str | None] = []

    def begin(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        if not savepoints:
            savepoints.append(None)  # Making one is a statement, too, and comes here.
            savepoints[0] = connection.savepoint()
        return execute(sql, params, many, context)

    try:
        with connection.execute_wrapper(begin):
            yield
        for sid in filter(None, savepoints):
            connection.savepoint_commit(sid)
    except BaseException:
        if savepoints and is_interrupted(connection):
            connection.needs_rollback = True
            raise
        for sid in filter(None, savepoints):
            # First, since no statement is let through otherwise, not even this one.
            connection.needs_rollback = False
            connection.savepoint_rollback(sid)
        raise
