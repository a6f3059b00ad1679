"""A writer that is killed with SIGKILL at a named step of the protocol. Run as a module.

Arguments: the name of the PostgreSQL database, a primary key, the step, and how it writes; without
the last, it saves a product.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import django
from django.db import connection, transaction


def die(*args: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(database: str, pk: int, step: str, how: str = "") -> None:
    django.setup()
    connection.settings_dict["NAME"] = database
    if how:
        execute_and_die(pk, step, how)
    else:
        save_and_die(pk, step)


def save_and_die(pk: int, step: str) -> None:
    from cache_invalidation import registry
    from cache_invalidation.writes import commit as real

    commit: Any = real
    from tests.testapp.models import Product

    registry.register(Product)
    fence = commit.raise_fence

    def fence_then_die(*args: Any) -> Any:
        fence(*args)
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


def execute_and_die(pk: int, step: str, how: str) -> None:
    """Execute one statement in autocommit; die where the store is told of it."""
    from cache_invalidation import ModelInvalidation, registry
    from cache_invalidation.stores import get_store
    from tests.testapp.models import Product

    class LooksAtValues(ModelInvalidation):
        tags = ["name:{name}"]

    store: Any = type(get_store())
    when, what = step.split(" the ")
    method = {"fence": "fence", "delivery": "deliver"}[what]
    setattr(store, method, die if when == "before" else _then_die(getattr(store, method)))
    match how:
        case "QuerySet.update":
            Product.objects.filter(name="old").update(name="new")
        case "raw UPDATE by key":
            with connection.cursor() as cursor:
                cursor.execute("UPDATE testapp_product SET name = 'new' WHERE id = %s", [pk])
        case "a rule that looks at values":
            registry.register(Product, LooksAtValues)
            Product.objects.filter(pk=pk).update(name="new")


def _then_die(function: Callable[..., Any]) -> Callable[..., Any]:
    def replaced(*args: Any) -> None:
        function(*args)
        die()

    return replaced


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
