"""Connections that wait for their next command, in front of the pool that they are of."""

from contextlib import suppress
from typing import Any

from redis.connection import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MaxConnectionsError


class Waiting:
    """The connections of a pool that nobody else uses.

    redis-py's pool takes longer to look after a connection than a command takes, so between two
    commands it stays here, in use as far as the pool knows. A pool of another class may have
    somebody wait for a connection, or look where it leads, and gets each of them back.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._stay = type(pool) is ConnectionPool
        self._idle: list[Any] = []

    def take(self, *, checked: bool = False) -> Any:
        """Return a connection that worked when it was last used, or one that the pool has checked.

        Raises `MaxConnectionsError` if there is none to spare.
        """
        try:
            connection = None if checked else self._idle.pop()
        except IndexError:
            connection = None
        return taken_from(self._pool) if connection is None else connection

    def give_back(self, connection: Any) -> None:
        """Have somebody else use `connection`, which is closed unless it has worked."""
        if self._stay and connection.is_connected:
            self._idle.append(connection)
        else:
            self._pool.release(connection)

    def distrust(self) -> None:
        """Have the pool check all that wait before they are used again."""
        with suppress(IndexError):
            while True:
                self._pool.release(self._idle.pop())


def taken_from(pool: Any) -> Any:
    """Return a connection of `pool`; raise `MaxConnectionsError` if it has none to spare."""
    try:
        return pool.get_connection()
    except RedisConnectionError as error:
        # A pool that waits for one has no exception of its own for having waited in vain.
        if str(error) == "No connection available.":
            raise MaxConnectionsError(str(error)) from error
        raise
