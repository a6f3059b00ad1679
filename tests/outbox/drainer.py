"""A process that drains the outbox of one database, once. Run as a module.

Arguments: the name of the PostgreSQL database, and whether it is killed with SIGKILL right before
or after the third delivery. Prints how many rows it has delivered. It begins when a line comes in.
"""

import os
import signal
import sys
from typing import Any

import django
from django.db import connection


def die(*args: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(database: str, dies: str = "") -> None:
    django.setup()
    connection.settings_dict["NAME"] = database
    from cache_invalidation.outbox import draining
    from cache_invalidation.stores import get_store

    real: Any = draining
    send, sent = real.send, []

    def send_and_die(*args: Any) -> Any:
        sent.append(args)
        if len(sent) == 3 and dies == "before":
            die()
        said = send(*args)
        if len(sent) == 3 and dies == "after":
            die()
        return said

    real.send = send_and_die
    get_store().ping()
    connection.ensure_connection()
    print("ready", flush=True)
    sys.stdin.readline()
    print(sum(draining.drain("default")), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
