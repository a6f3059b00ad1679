"""A process that refreshes a value and hangs, or fails, in the middle of it. Run as a module.

Arguments: the name of the PostgreSQL database and what happens: ``hangs`` until somebody kills
it, ``ends`` while the background hangs, ``warms`` and hangs. It prints a line when it has come that
far.
"""

import sys
import threading
import time
from unittest import mock

import django
from django.db import connection

NAME = "refreshed-by-several"
TIMEOUT = 1000.0  # seconds


def main(database: str, what: str) -> None:
    django.setup()
    connection.settings_dict["NAME"] = database

    from cache_invalidation import cached
    from cache_invalidation.operations.warming import Budget, warm_all
    from cache_invalidation.reads import ahead
    from cache_invalidation.reads.background import background
    from tests.testapp.models import Product

    reached = threading.Event()

    @cached(timeout=TIMEOUT, refresh=True, name=NAME)
    def number() -> int:
        found = Product.objects.count()
        reached.set()
        threading.Event().wait()
        return found

    if what == "warms":
        threading.Thread(target=warm_all, args=[Budget()], daemon=True).start()
        reached.wait()
        print("in the middle of it", flush=True)
        threading.Event().wait()

    with mock.patch.object(ahead, "time", side_effect=lambda: time.time() + 0.95 * TIMEOUT):
        number()
    reached.wait()
    assert background._threads
    print("in the middle of it", flush=True)
    if what == "hangs":
        threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
