"""The outboxes of all databases, page by page."""

import logging
from collections.abc import Iterable
from typing import Any

from rest_framework.pagination import LimitOffsetPagination
from rest_framework.response import Response

from cache_invalidation.api.limits import MAX_PAGE, PAGE
from cache_invalidation.models import PendingInvalidation, waiting_on

logger = logging.getLogger("cache_invalidation")


class Outboxes:
    """The rows of several databases in one sequence: by database, and there the oldest first.

    `unreachable` are the databases that could not be asked, and whose rows are missing.
    """

    def __init__(self, databases: Iterable[str]) -> None:
        self.unreachable: list[str] = []
        self._lengths: dict[str, int] = {}
        for alias, number in waiting_on(databases):
            if number is None:
                self.unreachable.append(alias)
            else:
                self._lengths[alias] = number

    def count(self) -> int:
        """Return how many there are."""
        return sum(self._lengths.values())

    def __getitem__(self, window: slice) -> list[PendingInvalidation]:
        found: list[PendingInvalidation] = []
        start, stop = window.start, window.stop
        for alias, length in self._lengths.items():
            here = slice(max(start, 0), max(min(stop, length), 0))
            if here.start < here.stop:
                try:
                    found += PendingInvalidation.objects.using(alias).order_by("pk")[here]
                except Exception as error:  # noqa: BLE001 - the others are worth an answer
                    logger.warning("The outbox on %r cannot be read (%r).", alias, error)
                    self.unreachable.append(alias)
            start, stop = start - length, stop - length
        return found


class OutboxPagination(LimitOffsetPagination):
    """Pages of `Outboxes`, which also say whose rows are missing."""

    default_limit = PAGE
    max_limit = MAX_PAGE

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> Any:
        self.outboxes = queryset
        return super().paginate_queryset(queryset, request, view)

    def get_paginated_response(self, data: Any) -> Response:
        response = super().get_paginated_response(data)
        response.data = {"unreachable": self.outboxes.unreachable} | response.data
        return response

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        found = super().get_paginated_response_schema(schema)
        databases = {
            "type": "array",
            "items": {"type": "string"},
            "example": [],
            "description": "The databases that could not be asked, and whose rows are missing.",
        }
        found["properties"]["unreachable"] = databases
        found["required"] += ["next", "previous", "unreachable"]
        return found
