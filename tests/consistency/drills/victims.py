"""Writers and drainers that kill themselves with SIGKILL at a step of the protocol."""

import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Final

from django.db import Error, connection, transaction

from cache_invalidation import delivery
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.outbox import draining, rows
from cache_invalidation.stores import get_store
from tests.consistency.drills.site import Site, WithKeys, WithoutKeys, raised
from tests.consistency.mixture import save, update_by_code, update_by_key, update_in_sql

Write = Callable[[str], int]

IN_COMMIT: Final = 0.01  # seconds after the fence; COMMIT takes longer in that drill

#: Ways to write that meet different code: blocks, statements of their own, values around them.
WRITES: Final[dict[str, Write]] = {
    "save": lambda icao: raised(icao, save, WithKeys, transaction.atomic()),
    "update in a block": lambda i: raised(i, update_by_key, WithKeys, transaction.atomic()),
    "update": lambda icao: raised(icao, update_by_code, WithoutKeys, nullcontext()),
    "raw SQL": lambda icao: raised(icao, update_in_sql, WithoutKeys, nullcontext()),
    "update between two reads": lambda i: raised(i, update_by_code, WithKeys, nullcontext()),
}


def die(*args: Any, **kwargs: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_before(owner: Any, name: str) -> None:
    setattr(owner, name, die)


def die_after(owner: Any, name: str) -> None:
    function = getattr(owner, name)

    def replaced(*args: Any, **kwargs: Any) -> None:
        function(*args, **kwargs)
        die()

    setattr(owner, name, replaced)


def _store() -> Any:
    return type(get_store())


def _refuse_fence() -> None:
    """Let the cache refuse this fence, and nothing else."""

    def refuse(*args: Any) -> None:
        raise StoreUnavailable("refused")

    _store().fence = refuse
    die_before(rows, "forget")


#: Steps of a write while the cache answers.
UP: Final[dict[str, Callable[[], None]]] = {
    "before the fence": lambda: die_before(_store(), "fence"),
    "between fence and COMMIT": lambda: die_after(_store(), "fence"),
    "between COMMIT and delivery": lambda: die_before(_store(), "deliver"),
    "after the delivery": lambda: die_after(_store(), "deliver"),
    "between delivery and deletion of its row": _refuse_fence,
}

#: Steps of a write while it does not.
DOWN: Final[dict[str, Callable[[], None]]] = {
    "before the row": lambda: die_before(rows, "_insert"),
    "between row and COMMIT": lambda: die_after(rows, "_insert"),
    "between COMMIT and the attempt to deliver": lambda: die_before(delivery, "send"),
    "after the attempt to deliver": lambda: die_after(delivery, "_not_delivered"),
}

#: Steps of a drainer.
DRAIN: Final[dict[str, Callable[[], None]]] = {
    "before the delivery": lambda: die_before(draining, "_deliver"),
    "between delivery and deletion of the rows": lambda: die_after(draining, "_deliver"),
}


def write_and_die(site: Site, row: int, step: str, way: str) -> None:
    """Write the row in this `way`, and be killed at this `step`."""
    (UP | DOWN)[step]()
    WRITES[way](site.course.icaos[row])


def drain_and_die(site: Site, row: int, step: str) -> None:
    """Wait for rows in the outbox, and be killed while they are delivered."""
    DRAIN[step]()
    while True:
        draining.drain_all()
        time.sleep(0.01)


def die_in_commit(site: Site, row: int, way: str) -> None:
    """Write the row, and be killed while the database executes COMMIT."""
    _while_it_commits(lambda driver: die())
    WRITES[way](site.course.icaos[row])


def lose_connection_in_commit(site: Site, row: int, way: str) -> str:
    """Write the row, and lose the connection during COMMIT; return the error."""
    _while_it_commits(_cut)
    try:
        WRITES[way](site.course.icaos[row])
    except Error as error:
        # Long enough for the database to end what it was doing, or not.
        time.sleep(random.uniform(0, 4 * IN_COMMIT))
        return repr(error)
    return ""


def _while_it_commits(action: Callable[[Any], None]) -> None:
    """Do something shortly after the fence, when COMMIT, or the statement, has been sent."""
    fence: Any = _store().fence

    def replaced(*args: Any) -> None:
        fence(*args)
        # Another thread would get another connection.
        threading.Timer(IN_COMMIT, action, [connection.connection]).start()

    _store().fence = replaced


def _cut(driver: Any) -> None:
    with socket.socket(fileno=os.dup(driver.fileno())) as same:
        same.shutdown(socket.SHUT_RDWR)
