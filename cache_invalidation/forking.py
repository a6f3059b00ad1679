"""What must not go on in the child of a fork.

A child has none of its parent's threads. With gevent, threads are greenlets: it has all of them,
and each goes on with what belongs to the parent, such as a connection to the database.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from threading import Event
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

_in_use: dict[int, list[BaseDatabaseWrapper]] = {}


@contextmanager
def not_in_children(*, asks_databases: bool = False) -> Iterator[None]:
    """In a child that was forked during this block, never go on after it, even if it raises.

    Nor may the greenlet end there: `threading` knows no such thread, and would fail. If it
    `asks_databases`, it cannot take an answer away from its parent, where the driver's connections
    have a `fileno()`.
    """
    pid, theirs = os.getpid(), _databases() if asks_databases else []
    _in_use[id(theirs)] = theirs
    try:
        yield
    finally:
        if os.getpid() != pid:
            Event().wait()
        del _in_use[id(theirs)]


def _databases() -> list[BaseDatabaseWrapper]:
    """Return what this thread uses to connect to databases, whether it has done so or not."""
    found = []
    for alias in connections:
        with suppress(Exception):  # Its settings are wrong, and nobody uses it, perhaps.
            found.append(connections[alias])
    return found


def _after_fork() -> None:
    # Not closed: that would end the session of the parent, and what is opened next would be used.
    null = os.open(os.devnull, os.O_RDWR)
    for wrapper in chain(*_in_use.values()):
        connection: Any = wrapper.connection
        with suppress(Exception):  # It is closed, or nothing that other greenlets could wait for.
            os.dup2(null, connection.fileno())
    os.close(null)
    _in_use.clear()


os.register_at_fork(after_in_child=_after_fork)
