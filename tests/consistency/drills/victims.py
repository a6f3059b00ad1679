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

import psycopg
from django.db import Error, connection, transaction

from cache_invalidation.delivery import fencing
from cache_invalidation.delivery.outbox import draining, rows
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.models import PendingInvalidation
from cache_invalidation.stores import get_store
from tests.consistency.drills.site import Site, WithKeys, WithoutKeys, raised
from tests.consistency.mixture import save, update_by_code, update_by_key, update_in_sql

Write = Callable[[str], int]

COMMITS: Final = 8_271  # the advisory lock that ends a COMMIT in that drill
POLL: Final = 0.005  # seconds

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
    "between COMMIT and the attempt to deliver": lambda: die_before(fencing, "send"),
    "after the attempt to deliver": lambda: die_after(fencing, "_not_delivered"),
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
    """Put rows into the outbox, and be killed while they are delivered."""
    DRAIN[step]()
    targets = {"tags": ["airports.airport"], "entries": [], "keys": [], "patterns": []}
    while True:  # Somebody else may have been faster.
        PendingInvalidation.objects.create(targets=targets)
        draining.drain_all()


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
        time.sleep(random.uniform(0, 8 * POLL))
        return repr(error)
    return ""


def _while_it_commits(action: Callable[[Any], None]) -> None:
    """Do something after the fence, when the database executes COMMIT, or the statement."""
    fence: Any = _store().fence

    def replaced(*args: Any) -> None:
        _store().fence = fence
        driver: Any = connection.connection
        other = psycopg.connect(driver.info.dsn, password=driver.info.password, autocommit=True)
        other.execute("SELECT pg_advisory_lock(%s)", [COMMITS])
        fence(*args)
        threading.Thread(target=_once_it_commits, args=(action, driver, other)).start()

    _store().fence = replaced


def _once_it_commits(
    action: Callable[[Any], None], driver: Any, other: psycopg.Connection[Any]
) -> None:
    """Call `action` when the backend of `driver` waits for the lock that `other` has."""
    waits = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event = 'advisory'"
    with other:  # At the end, at the latest with this process, the lock is given back.
        while not other.execute(waits, [driver.info.backend_pid]).fetchone():
            time.sleep(POLL)
        action(driver)


def _cut(driver: Any) -> None:
    with socket.socket(fileno=os.dup(driver.fileno())) as same:
        same.shutdown(socket.SHUT_RDWR)
