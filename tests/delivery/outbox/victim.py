"""A writer without a cache, that is killed with SIGKILL. Run as a module.

Arguments: the name of the PostgreSQL database, how it writes, and when it dies.
"""

import os
import signal
import sys
from typing import Any

import django
from django.db import connection, transaction


def die(*args: Any, **kwargs: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(database: str, how: str, when: str) -> None:
    django.setup()
    connection.settings_dict["NAME"] = database
    from cache_invalidation.delivery import fencing
    from cache_invalidation.writes import commit, statements

    def dying(execute: Any, sql: Any, *args: Any) -> Any:
        if not sql.startswith("UPDATE testapp"):
            return execute(sql, *args)
        if when == "after the statement":
            execute(sql, *args)
        return die()

    real: Any = [fencing, commit, statements]
    if when == "before the delivery":
        for module in real:
            module.deliver = die
    elif when == "before COMMIT":
        connection._commit = die  # type: ignore[attr-defined]
    else:
        connection.execute_wrappers.append(dying)
    if how == "in autocommit":
        write()
    else:
        with transaction.atomic():
            write()


def write() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE testapp_product SET name = 'new'")


if __name__ == "__main__":
    main(*sys.argv[1:])
