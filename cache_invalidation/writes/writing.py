"""A transaction for one write that comes without one."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from cache_invalidation.connections import in_transaction, is_open_for_driver


def writing(connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
    """Return a transaction for the block, which is going to write; the open one if there is one."""
    if connection.connection is None:
        connection.ensure_connection()
    is_open = in_transaction(connection) or is_open_for_driver(connection)
    return nullcontext() if is_open else _Transaction(connection)


class _Transaction(transaction.Atomic):
    """SQLite takes its lock at the start, and waits for it.

    A transaction that reads first and then wants to write does not wait; see
    `cache_invalidation.writes.rows`.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        super().__init__(connection.alias, savepoint=False, durable=False)
        self.connection = connection

    def __enter__(self) -> None:
        if self.connection.vendor != "sqlite":
            return super().__enter__()
        connection: Any = self.connection
        mode, connection.transaction_mode = connection.transaction_mode, "IMMEDIATE"
        try:
            return super().__enter__()
        finally:
            connection.transaction_mode = mode
