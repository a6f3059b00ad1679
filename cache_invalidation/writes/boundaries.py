"""Statements that commit although Django takes the transaction to go on.

Django has SQLite begin a transaction for the outermost `atomic()`, but not with autocommit off:
then the driver does so, before the first INSERT, UPDATE, DELETE or REPLACE. Whatever else writes is
committed at once. And a savepoint that is made before any of these is all there is of a
transaction: releasing it is its COMMIT.
"""

from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from cache_invalidation.connections import has_begun, in_transaction
from cache_invalidation.sql import Statement

# Where on a connection it is kept which savepoint stood for a transaction last.
_OUTERMOST: Final = "_cache_invalidation_outermost"

# The words by which the driver knows that a statement writes.
_BEGINNING: Final = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE"})


def is_commit(statement: Statement, connection: BaseDatabaseWrapper) -> bool:
    """Whether `statement`, about to be executed, commits what the open transaction has written.

    Or what it writes itself, in a script that ends the transaction before it does so.
    """
    if not statement.boundaries:
        return False
    found = [_commits(opening, connection) for opening in statement.boundaries]
    return any(found) and in_transaction(connection)


def _commits(opening: tuple[str, ...], connection: BaseDatabaseWrapper) -> bool:
    match opening:
        case ("COMMIT" | "END" | "ROLLBACK" | "ABORT", *rest):
            return "PREPARED" not in rest and "TO" not in rest
        case ("SAVEPOINT", name, *_) if connection.vendor == "sqlite":
            if not has_begun(connection):
                connection.__dict__[_OUTERMOST] = connection.connection, _spelled(name)
        case ("RELEASE", "SAVEPOINT", name) | ("RELEASE", name, *_):
            released = connection.connection, _spelled(name)
            return bool(connection.__dict__.get(_OUTERMOST) == released)
    return False


def is_commit_of_its_own(statement: Statement, connection: BaseDatabaseWrapper) -> bool:
    """Whether `statement` will be committed as soon as it is executed, in a transaction or not."""
    if connection.vendor != "sqlite" or has_begun(connection):
        return False
    return is_cut_off(connection) or statement.first not in _BEGINNING


def is_cut_off(connection: BaseDatabaseWrapper) -> bool:
    """Whether the transaction that Django has begun has been ended by a statement or a script.

    Whatever is executed until the end of the block is committed at once.
    """
    if connection.vendor != "sqlite" or not in_transaction(connection):
        return False
    driver: Any = connection.connection
    return driver.isolation_level is None and not driver.in_transaction


def _spelled(name: str) -> str:
    return name.removeprefix('"').lower()
