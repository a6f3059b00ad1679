"""A writer that is killed with SIGKILL at a named step of the protocol. Run as a module.

Arguments: the name of the PostgreSQL database, the primary key of a product, the step.
"""

import os
import signal
import sys
from typing import Any

import django
from django.db import connection, transaction


def die(*args: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(database: str, pk: int, step: str) -> None:
    django.setup()
    connection.settings_dict["NAME"] = database

    from cache_invalidation import registry
    from cache_invalidation.writes import commit as real

    commit: Any = real
    from tests.testapp.models import Product

    registry.register(Product)
    fence = commit.raise_fence

    def fence_then_die(batch: Any) -> Any:
        fence(batch)
        die()

    match step:
        case "before the fence":
            commit.raise_fence = die
        case "between fence and COMMIT":
            commit.raise_fence = fence_then_die
        case "between COMMIT and the first line after it":
            commit.deliver = die
    product = Product.objects.get(pk=pk)
    product.name = "new"
    if step == "in autocommit, after COMMIT":
        commit.deliver = die
        product.save()
    else:
        with transaction.atomic():
            product.save()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
