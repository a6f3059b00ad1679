"""What the tests look at: the rows of the outbox, and when they become visible."""

from collections.abc import Callable
from typing import Any
from unittest import mock

from django.db import connections
from django.utils import timezone

from cache_invalidation import cached
from cache_invalidation.delivery.outbox.rows import KINDS
from cache_invalidation.models import PendingInvalidation
from tests.testapp.models import Product


@cached(tags=[Product], timeout=60, name="outbox.names")
def names(using: str = "default") -> list[str]:
    return sorted(Product.objects.using(using).values_list("name", flat=True))


def rows(using: str = "default") -> list[PendingInvalidation]:
    return list(PendingInvalidation.objects.using(using).order_by("pk"))


def targets(using: str = "default") -> list[dict[str, list[str]]]:
    """Return the targets of each row, without the kinds of which there are none."""
    return [{kind: names for kind in KINDS if (names := row.targets[kind])} for row in rows(using)]


def let_wait(number: int, using: str = "default", **fields: Any) -> None:
    """Have so many rows wait, with a tag each that no other has: ``default:0``, ``default:1``."""
    PendingInvalidation.objects.using(using).bulk_create(
        PendingInvalidation(
            targets={"tags": [f"{using}:{n}"], "entries": [], "keys": [], "patterns": []},
            entities={"thing": 1},
            **fields,
        )
        for n in range(number)
    )


def is_due(row: PendingInvalidation) -> bool:
    return row.next_attempt <= timezone.now()


def at_commit(using: str, action: Callable[[], object], *, after: bool = False) -> Any:
    """Have `action` called right before, or right `after`, each COMMIT within the block.

    Everything that the package does before COMMIT is done by then, and nothing of the rest.
    """
    connection: Any = connections[using]
    commit = connection._commit

    def act_and_commit() -> None:
        if not after:
            action()
        commit()
        if after:
            action()

    return mock.patch.object(connection, "_commit", act_and_commit)
