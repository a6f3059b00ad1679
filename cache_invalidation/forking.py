"""What must not go on in the child of a fork.

A child has none of its parent's threads. With gevent, threads are greenlets: it has all of them,
and each goes on with what belongs to the parent, such as a connection to the database.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from threading import Event

from django.db import connections as databases
from django.db.backends.base.base import BaseDatabaseWrapper

_in_use: dict[int, list[BaseDatabaseWrapper]] = {}


def of_this_thread() -> list[BaseDatabaseWrapper]:
    """Return the connections that this thread has to databases, and those that it may open."""
    found = []
    for alias in databases:
        with suppress(Exception):  # Such as a driver that is not there: nobody uses that one.
            found.append(databases[alias])
    return found


@contextmanager
def not_in_children(connections: Iterable[BaseDatabaseWrapper] = ()) -> Iterator[None]:
    """In a child that was forked during this block, never go on after it, even if it raises.

    Nor may the greenlet end there: `threading` knows no such thread, and would fail. It cannot take
    an answer away from its parent by one of the `connections`, if their driver has a `fileno()`.
    """
    pid, theirs = os.getpid(), list(connections)
    _in_use[id(theirs)] = theirs
    try:
        yield
    finally:
        stay_behind(pid)
        del _in_use[id(theirs)]


def stay_behind(pid: int) -> None:
    """Never go on if this is no longer the process `pid`, but a child of it."""
    if os.getpid() != pid:
        Event().wait()


def _after_fork() -> None:
    # Not closed: that would end the session of the parent, and what is opened next would be used.
    theirs = [each.connection for each in chain(*_in_use.values()) if each.connection is not None]
    _in_use.clear()
    if not theirs:
        return
    null = os.open(os.devnull, os.O_RDWR)
    for connection in theirs:
        with suppress(Exception):  # It is closed, or nothing that other greenlets could wait for.
            os.dup2(null, connection.fileno(), inheritable=False)
    os.close(null)


os.register_at_fork(after_in_child=_after_fork)
