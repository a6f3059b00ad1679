"""What a connection to a database is in the middle of."""

from typing import Any, cast

from django.db.backends.base.base import BaseDatabaseWrapper


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
