"""A process that drains the outbox of one database, once. Run as a module.

Arguments: the name of the PostgreSQL database, and what is special: it "waits" in the middle of
its first delivery, says so, and goes on when a line comes in; or it is killed with SIGKILL right
"before" or "after" the third. Prints how many rows it has delivered. Begins when a line comes in.
"""

import os
import signal
import sys
from typing import Any

import django
from django.db import connection


def die(*args: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wait(what: str) -> None:
    print(what, flush=True)
    sys.stdin.readline()


def main(database: str, special: str = "") -> None:
    django.setup()
    connection.settings_dict["NAME"] = database
    from cache_invalidation.delivery.outbox import draining
    from cache_invalidation.stores import get_store

    real: Any = draining
    send, sent = real.send, []

    def send_specially(*args: Any) -> Any:
        sent.append(args)
        if len(sent) == 1 and special == "waits":
            wait("waiting")
        if len(sent) == 3 and special == "before":
            die()
        said = send(*args)
        if len(sent) == 3 and special == "after":
            die()
        return said

    real.send = send_specially
    get_store().ping()
    connection.ensure_connection()
    wait("ready")
    print(sum(draining.drain("default")), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
